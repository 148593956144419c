# install(EXPORT) with config and version files: find_package(attend CONFIG) gives attend::attend.
