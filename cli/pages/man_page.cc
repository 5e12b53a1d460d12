#include "cli/pages/man_page.h"

#include "cli/exit_code.h"

namespace ckpt::cli {
namespace {

// Text that troff takes for text: no backslash, no control line; a hyphen can be copied from the
// page.
std::string RoffText(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) {
      out += std::string("\\&") + c;
    } else {
      out += c;
    }
  }
  return out;
}

std::string Bold(const std::string& text) { return "\\fB" + RoffText(text) + "\\fR"; }
std::string Italic(const std::string& text) { return "\\fI" + RoffText(text) + "\\fR"; }

std::string Heading(const std::string& page, const std::string& version) {
  std::string upper = page;
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return ".TH " + RoffText(upper) + " 1 \"\" \"" + RoffText(version) + "\" \"User Commands\"\n";
}

std::string Section(const std::string& title) { return ".SH " + title + "\n"; }

std::string Item(const std::string& term, const std::string& text) {
  return ".TP\n" + term + "\n" + text + "\n";
}

std::string NamesOf(const std::vector<const Option*>& options) {
  std::string names;
  for (const Option* option : options)
    names += (names.empty() ? "" : ", ") + Bold(option->names().back());
  return names;
}

// "-j, --jobs N"
std::string TermOf(const Option& option) {
  std::string term;
  for (const std::string& name : option.names()) {
    term += (term.empty() ? "" : ", ") + (option.is_positional() ? Italic(name) : Bold(name));
  }
  if (!option.is_positional() && !option.value().empty()) term += " " + Italic(option.value());
  if (option.is_list()) term += " ...";
  return term;
}

std::string TextOf(const Option& option) {
  std::string text = RoffText(option.help());
  if (!text.ends_with('?')) text += '.';
  if (!option.words().empty()) {
    std::string words;
    for (const std::string& word : option.words())
      words += (words.empty() ? "" : ", ") + Bold(word);
    text += "\nOne of " + words + ".";
  }
  if (!option.excluded().empty()) text += "\nNot with " + NamesOf(option.excluded()) + ".";
  if (!option.needed().empty()) text += "\nOnly with " + NamesOf(option.needed()) + ".";
  return text;
}

std::string ItemsOf(const Arguments& command, bool positional) {
  std::string items;
  for (const Option& option : command.options()) {
    if (option.is_positional() == positional) items += Item(TermOf(option), TextOf(option));
  }
  return items;
}

std::string SynopsisOf(const Arguments& command) {
  std::string line = Bold("ckpt " + command.name()) + " [" + Italic("OPTIONS") + "]";
  for (const Option& option : command.options()) {
    if (!option.is_positional()) continue;
    const std::string name = Italic(option.names().front()) + (option.is_list() ? "..." : "");
    line += option.is_required() ? " " + name : " [" + name + "]";
  }
  return line + "\n";
}

std::string ExitStatus() {
  std::string section = Section("EXIT STATUS");
  for (std::size_t code = 0; code < kExitMeanings.size(); ++code) {
    section += Item(Bold(std::to_string(code)), RoffText(kExitMeanings[code]));
  }
  return section;
}

std::string Examples(const std::string& examples) {
  return Section("EXAMPLES") + ".nf\n" + RoffText(examples) + "\n.fi\n";
}

std::string SeeAlso(const ArgumentParser& parser, const std::string& but) {
  std::string pages;
  const auto add = [&](const std::string& page) {
    if (page != but) pages += (pages.empty() ? "" : ",\n") + Bold(page) + "(1)";
  };
  add("ckpt");
  for (const Arguments& command : parser.commands()) add("ckpt-" + command.name());
  return Section("SEE ALSO") + pages + "\n";
}

}  // namespace

std::string ManPageOfProgram(const ArgumentParser& parser, const std::string& version) {
  std::string page = Heading("ckpt", version);
  page += Section("NAME") + "ckpt \\- audits, converts and compares trained checkpoints\n";
  page += Section("SYNOPSIS") + Bold("ckpt") + " " + Italic("COMMAND") + " [" + Italic("OPTIONS") +
          "] " + Italic("ARGUMENTS") + "\n";
  page += Section("DESCRIPTION") + RoffText(parser.description()) + "\n";
  page += Section("COMMANDS");
  for (const Arguments& command : parser.commands()) {
    page += Item(Bold(command.name()),
                 RoffText(command.summary()) + ".\nSee " + Bold("ckpt-" + command.name()) + "(1).");
  }
  page += Section("OPTIONS") +
          Item(Bold("-h") + ", " + Bold("--help"), "Print help and exit; of a command behind it.");
  page += Item(Bold("--version"), "Print the version and exit.");
  page += ExitStatus() + Examples(parser.examples()) + SeeAlso(parser, "ckpt");
  return page;
}

std::string ManPageOfCommand(const Arguments& command, const ArgumentParser& parser,
                             const std::string& version) {
  const std::string name = "ckpt-" + command.name();
  std::string page = Heading(name, version);
  page += Section("NAME") + RoffText(name) + " \\- " + RoffText(command.summary()) + "\n";
  page += Section("SYNOPSIS") + SynopsisOf(command);
  const std::string arguments = ItemsOf(command, true);
  if (!arguments.empty()) page += Section("ARGUMENTS") + arguments;
  page += Section("OPTIONS") + ItemsOf(command, false);
  page += Item(Bold("-h") + ", " + Bold("--help"), "Print help and exit.");
  page += ExitStatus() + Examples(command.examples()) + SeeAlso(parser, name);
  return page;
}

}  // namespace ckpt::cli
