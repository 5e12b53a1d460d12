"""An HTTP server on loopback that serves a folder by byte ranges, counts what it sends, and misbehaves on demand."""

import hashlib
import http.server
import os
import re
import ssl
import threading
import urllib.parse


class Behaviour:
    """What a request meets. Each field is a number of requests that are still to be treated so, or a value."""

    def __init__(self):
        self.ignore_ranges = False     # 200 and the whole file
        self.hide_length = False       # of a 200: no Content-Length
        self.change_tag_after = None   # requests of one file until its ETag changes
        self.cut = 0                   # bodies cut in their middle
        self.refuse = 0                # answers with refuse_status
        self.refuse_status = 503
        self.retry_after = None
        self.redirect_to = None        # a function of the path
        self.wrong_range = False       # the range begins one byte later than it was asked for
        self.longer_body = False       # more bytes than Content-Range says
        self.other_length = False      # Content-Length contradicts Content-Range
        self.other_total = False       # the file's length changes after the first answer
        self.endless_head = False
        self.need = None               # a value that Authorization must have
        self.delay = 0


class RangeServer:
    """serves `folder` at http://127.0.0.1:port; `log` has (path, range, status, headers) of each request."""

    def __init__(self, folder, certificate=None, address="127.0.0.1"):
        self.folder = str(folder)
        self.behaviour = Behaviour()
        self.log = []
        self.body_bytes = 0
        self.running = self.most_running = 0
        self.lock = threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with owner.lock:
                    owner.running += 1
                    owner.most_running = max(owner.most_running, owner.running)
                try:
                    owner.answer(self)
                finally:
                    with owner.lock:
                        owner.running -= 1

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.httpd.daemon_threads = True
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True)
            scheme = "https"
        self.port = self.httpd.server_address[1]
        self.url = f"{scheme}://{address}:{self.port}"
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def paths(self):
        return [entry[0] for entry in self.log]

    def headers_of(self, name):
        return [entry[3].get(name) for entry in self.log]

    def answer(self, request):
        b = self.behaviour
        path = urllib.parse.unquote(request.path.split("?")[0])
        with self.lock:
            seen = sum(1 for entry in self.log if entry[0] == path)
            entry = [path, request.headers.get("Range"), 0, dict(request.headers), request.path]
            self.log.append(entry)
            refuse, cut = b.refuse > 0, b.cut > 0
            b.refuse -= refuse
        if b.delay:
            threading.Event().wait(b.delay)

        def status(code, headers=(), body=b""):
            entry[2] = code
            request.send_response(code)
            for name, value in headers:
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)

        if refuse:
            return status(b.refuse_status, [("Retry-After", str(b.retry_after))] if b.retry_after is not None else [])
        if b.need is not None and request.headers.get("Authorization") != b.need:
            return status(403, body=b"no entry")
        if b.redirect_to is not None:
            return status(302, [("Location", b.redirect_to(request.path))])
        file = os.path.join(self.folder, path.lstrip("/"))
        if not os.path.isfile(file):
            return status(404, body=b"not here" * 1000)
        if b.endless_head:
            request.send_response(206)
            try:
                for i in range(1 << 16):
                    request.send_header(f"X-Filler-{i}", "y" * 1000)
                    if i % 64 == 0:
                        request.flush_headers()
            except OSError:
                pass
            return None
        size = os.path.getsize(file)
        changed = b.change_tag_after is not None and seen >= b.change_tag_after
        tag = '"' + hashlib.md5(f"{path} {changed}".encode()).hexdigest() + '"'
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        if request.headers.get("If-Match") not in (None, tag):
            return status(412)
        if not asked or b.ignore_ranges:
            return self.send(request, entry, file, 0, size, 200, [("ETag", tag)])
        begin, end = int(asked[1]), min(int(asked[2]) + 1, size)
        if begin >= size:
            return status(416, [("Content-Range", f"bytes */{size}")])
        shown = begin + 1 if b.wrong_range else begin
        total = size + 1 if b.other_total and seen > 0 else size
        headers = [("ETag", tag), ("Content-Range", f"bytes {shown}-{end - 1}/{total}")]
        if cut:
            with self.lock:
                b.cut -= 1
        return self.send(request, entry, file, begin, end, 206, headers, cut)

    def send(self, request, entry, file, begin, end, status, headers, cut=False):
        b = self.behaviour
        entry[2] = status
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        extra = 4096 if b.longer_body else 0
        if not (b.hide_length and status == 200) and not b.longer_body:
            request.send_header("Content-Length", str(end - begin + (7 if b.other_length else 0)))
        else:
            request.send_header("Connection", "close")
            request.close_connection = True
        request.end_headers()
        left = (end - begin) // 2 if cut else end - begin
        try:
            with open(file, "rb") as data:
                data.seek(begin)
                while left > 0:
                    chunk = data.read(min(left, 1 << 18))
                    request.wfile.write(chunk)
                    left -= len(chunk)
                    with self.lock:
                        self.body_bytes += len(chunk)
            request.wfile.write(b"z" * extra)
        except OSError:
            request.close_connection = True
        if cut:
            request.close_connection = True
