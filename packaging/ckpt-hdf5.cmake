# ckpt::hdf5: the HDF5 library without what it would load for files on the network.
#
# Debian's libhdf5.so is linked with libcurl, and that with 28 more (Kerberos, LDAP, GnuTLS, SSH, RTMP): a reader of
# hostile files must not carry an HTTP stack. In the static library that code is one object (the ros3 driver), which
# nothing here asks for, and so it is not linked. CKPT_SHARED_HDF5 takes the shared library all the same, for a system
# whose own is free of it or has no static one.
option(CKPT_SHARED_HDF5 "Link the shared HDF5 library, with what it loads" OFF)

pkg_check_modules(HDF5 REQUIRED QUIET IMPORTED_TARGET GLOBAL hdf5>=1.10)
if(NOT TARGET ckpt::hdf5)
  add_library(ckpt::hdf5 INTERFACE IMPORTED GLOBAL)
  set(ckpt_hdf5_archives "")
  if(NOT CKPT_SHARED_HDF5)
    # Szip is a filter of HDF5; libaec is the free implementation of it.
    foreach(archive hdf5 sz aec)
      find_library(CKPT_HDF5_${archive} lib${archive}.a HINTS ${HDF5_LIBRARY_DIRS})
      mark_as_advanced(CKPT_HDF5_${archive})
      if(CKPT_HDF5_${archive})
        list(APPEND ckpt_hdf5_archives ${CKPT_HDF5_${archive}})
      endif()
    endforeach()
    if(NOT CKPT_HDF5_hdf5)
      message(FATAL_ERROR "libhdf5.a is needed (Debian: libhdf5-dev); -DCKPT_SHARED_HDF5=ON links the shared library, "
        "and with it the HTTP stack that it loads")
    endif()
    find_package(ZLIB REQUIRED)
    target_include_directories(ckpt::hdf5 INTERFACE ${HDF5_INCLUDE_DIRS})
    target_link_libraries(ckpt::hdf5 INTERFACE ${ckpt_hdf5_archives} ZLIB::ZLIB ${CMAKE_DL_LIBS} m)
  else()
    target_link_libraries(ckpt::hdf5 INTERFACE PkgConfig::HDF5)
  endif()
endif()
