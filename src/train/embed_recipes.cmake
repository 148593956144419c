# Writes OUT, a C++ file that holds every recipes/**.toml, so that the program needs no files beside it.
function(attend_embed_recipes out)
  set(folder "${PROJECT_SOURCE_DIR}/recipes")
  file(GLOB_RECURSE files CONFIGURE_DEPENDS RELATIVE "${folder}" "${folder}/*.toml")
  list(SORT files)
  set(items "")
  foreach(file ${files})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${folder}/${file}")
    file(READ "${folder}/${file}" text)
    string(REGEX REPLACE "\\.toml$" "" name "${file}")
    string(APPEND items "      {\"${name}\", R\"toml(${text})toml\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT "${out}" @ONLY CONTENT
"// Made by src/train/embed_recipes.cmake from recipes/.
#include \"train/embedded_recipes.h\"

namespace attend::train {

const std::vector<EmbeddedRecipe>& embedded_recipes() {
  static const std::vector<EmbeddedRecipe> recipes{
@items@  };
  return recipes;
}

}  // namespace attend::train
")
endfunction()
