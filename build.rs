//! Generates the ONNX message types from `src/teacher/onnx.proto` (the field's own schema, Apache-2.0).
//! `protox` compiles the schema, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/teacher/onnx.proto");
    let descriptors = protox::compile(["src/teacher/onnx.proto"], ["src/teacher"])?;
    prost_build::Config::new()
        // Weights stay slices of the file's own buffer instead of copies.
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
