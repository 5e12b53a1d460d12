# What `pip install .` puts into the wheel (component "wheel"; SKBUILD_*_DIR are set by scikit-build-core).
install(TARGETS ckpt_tool RUNTIME DESTINATION ${SKBUILD_SCRIPTS_DIR} COMPONENT wheel EXCLUDE_FROM_ALL)
install(DIRECTORY ${CMAKE_BINARY_DIR}/pages/ DESTINATION ${SKBUILD_DATA_DIR}/share/man/man1
  COMPONENT wheel EXCLUDE_FROM_ALL FILES_MATCHING PATTERN "*.1")
install(FILES ${CMAKE_BINARY_DIR}/pages/ckpt.bash DESTINATION ${SKBUILD_DATA_DIR}/share/bash-completion/completions
  RENAME ckpt COMPONENT wheel EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_BINARY_DIR}/pages/_ckpt DESTINATION ${SKBUILD_DATA_DIR}/share/zsh/site-functions
  COMPONENT wheel EXCLUDE_FROM_ALL)
install(FILES ${CMAKE_BINARY_DIR}/pages/ckpt.fish DESTINATION ${SKBUILD_DATA_DIR}/share/fish/vendor_completions.d
  COMPONENT wheel EXCLUDE_FROM_ALL)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/schema DESTINATION ${SKBUILD_DATA_DIR}/share/ckpt
  COMPONENT wheel EXCLUDE_FROM_ALL FILES_MATCHING PATTERN "*.schema.json")

# A wheel that is to run elsewhere carries the shared libraries too (auditwheel repair): their licences are those that the
# packages have that they come from, where those can be seen.
foreach(package libaec-dev libcli11-dev libexpected-dev libgcc-s1 libhdf5-dev libisal-dev libprotobuf-dev libseccomp-dev
                libsnappy-dev libssl-dev libtomlplusplus-dev libunistring-dev nlohmann-json3-dev zlib1g-dev)
  if(EXISTS /usr/share/doc/${package}/copyright)
    install(FILES /usr/share/doc/${package}/copyright DESTINATION ${SKBUILD_METADATA_DIR}/licenses/third_party
      RENAME ${package} COMPONENT wheel EXCLUDE_FROM_ALL)
  else()
    message(STATUS "The wheel lacks the licence of ${package}: publish none that is made here")
  endif()
endforeach()
foreach(licence Apache-2.0 CC0-1.0 GPL-2 GPL-3 LGPL-2.1 LGPL-3)  # that those texts refer to
  if(EXISTS /usr/share/common-licenses/${licence})
    install(FILES /usr/share/common-licenses/${licence} DESTINATION ${SKBUILD_METADATA_DIR}/licenses/third_party
      COMPONENT wheel EXCLUDE_FROM_ALL)
  endif()
endforeach()
