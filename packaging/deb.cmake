# `cpack` in the build folder makes ckpt_VERSION_ARCH.deb of the program, its man pages, completions and schemas.
set(CKPT_MAINTAINER "The ckpt maintainers <ckpt@packages.invalid>" CACHE STRING "Who publishes the packages")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ckpt)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT ${CKPT_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "audits, converts and compares trained checkpoints")
set(CPACK_PACKAGE_DESCRIPTION
"ckpt reads checkpoints of TensorFlow, Keras, PyTorch, ONNX and others without
the framework that made them. It finds batch-norm statistics that were lost,
never updated or are not finite, folds batch norms into the layers beside them,
and says whether two files compute the same function.")
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
# Not the library, and nothing for a prefix of one's own.
set(CPACK_COMPONENTS_ALL program debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/debian/prepare.cmake)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libcurl4, ca-certificates")  # for URLs
configure_file(debian/changelog.in changelog.Debian @ONLY)
foreach(document "${PROJECT_SOURCE_DIR}/CHANGELOG.md;changelog" "${CMAKE_CURRENT_BINARY_DIR}/changelog.Debian;changelog.Debian"
                 "${CMAKE_CURRENT_SOURCE_DIR}/debian/copyright;copyright")
  list(POP_FRONT document file)
  install(FILES ${file} DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/ckpt RENAME ${document} COMPONENT debian EXCLUDE_FROM_ALL)
endforeach()
install(FILES ${CMAKE_SOURCE_DIR}/THIRD_PARTY DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/ckpt COMPONENT program)
include(CPack)
