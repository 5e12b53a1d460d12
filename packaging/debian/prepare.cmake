# Run by CPack over what is installed, before the .deb is made of it: what Debian's policy asks of every package.
file(GLOB files ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/man/man1/*.1
  ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/*/usr/share/doc/ckpt/changelog*)
if(NOT files)
  message(FATAL_ERROR "no documents in ${CPACK_TEMPORARY_INSTALL_DIRECTORY}")
endif()
foreach(file ${files})
  execute_process(COMMAND gzip -9n ${file} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
