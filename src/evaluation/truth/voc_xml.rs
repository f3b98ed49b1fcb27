//! Parses one annotation of PASCAL VOC.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::encoding::EncodingError;
use quick_xml::events::{BytesRef, Event};

use super::truth_error::{TruthError, beginning};

/// An annotation of one image.
#[derive(Debug, Default, PartialEq)]
pub(super) struct VocAnnotation {
    pub(super) file_name: String,
    /// Whether pixels are counted from 0, as in ImageNet's annotations; PASCAL counts from 1.
    pub(super) counts_from_zero: bool,
    /// Width and height; 0 if they are missing.
    pub(super) size: [u32; 2],
    pub(super) objects: Vec<VocObject>,
}

/// An object: the name of its class, and its first and last pixels, `x0, y0, x1, y1`.
#[derive(Debug, PartialEq)]
pub(super) struct VocObject {
    pub(super) name: String,
    pub(super) sides: [f64; 4],
}

/// Elements of a box, in the order of [`VocObject::sides`].
const SIDES: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// Depth of nested elements; annotations have at most six.
const MAX_DEPTH: usize = 32;

/// Parses an annotation. A document type is refused, so that no entity can expand.
pub(super) fn parse_voc(text: &str) -> Result<VocAnnotation, TruthError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document::default();
    loop {
        match reader.read_event().map_err(|problem| refused(&problem.to_string()))? {
            Event::Start(tag) => document.open(&String::from_utf8_lossy(tag.name().as_ref()))?,
            Event::End(_) => document.close()?,
            Event::Text(text) => document.add(text.decode())?,
            Event::CData(text) => document.add(text.decode())?,
            Event::GeneralRef(reference) => document.text.push(letter_of(&reference)?),
            Event::DocType(_) => return Err(refused("it has a document type, which annotations do not need")),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => return document.finish(),
        }
    }
}

fn refused(problem: &str) -> TruthError {
    TruthError::Xml(problem.to_owned())
}

/// Returns the letter of a reference such as `&amp;` or `&#233;`.
fn letter_of(reference: &BytesRef<'_>) -> Result<char, TruthError> {
    if let Some(letter) = reference.resolve_char_ref().map_err(|problem| refused(&problem.to_string()))? {
        return Ok(letter);
    }
    match &**reference {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        other => Err(refused(&format!("the entity `{}` is not known", beginning(&String::from_utf8_lossy(other))))),
    }
}

/// What was read so far.
#[derive(Default)]
struct Document {
    /// The open elements.
    path: Vec<String>,
    /// Text since the last tag.
    text: String,
    annotation: VocAnnotation,
    has_root: bool,
    name: Option<String>,
    sides: [Option<f64>; 4],
}

impl Document {
    fn open(&mut self, tag: &str) -> Result<(), TruthError> {
        if self.path.is_empty() {
            if self.has_root {
                return Err(refused("it has two root elements"));
            }
            if tag != "annotation" {
                return Err(refused(&format!("its root element is `{}`, not `annotation`", beginning(tag))));
            }
            self.has_root = true;
        }
        if self.path.len() == MAX_DEPTH {
            return Err(refused(&format!("elements are nested more than {MAX_DEPTH} deep")));
        }
        self.path.push(tag.to_owned());
        self.text.clear();
        if self.path.len() == 2 && tag == "object" {
            (self.name, self.sides) = (None, [None; 4]);
        }
        Ok(())
    }

    fn add(&mut self, text: Result<Cow<'_, str>, EncodingError>) -> Result<(), TruthError> {
        self.text.push_str(&text.map_err(|problem| refused(&problem.to_string()))?);
        Ok(())
    }

    fn close(&mut self) -> Result<(), TruthError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let text = self.text.trim();
        match path.as_slice() {
            ["annotation", "filename"] => text.clone_into(&mut self.annotation.file_name),
            ["annotation", "source", "database"] => {
                let database = text.to_lowercase();
                self.annotation.counts_from_zero = ["ilsvrc", "imagenet"].iter().any(|name| database.contains(name));
            }
            ["annotation", "size", "width"] => self.annotation.size[0] = pixels("width", text)?,
            ["annotation", "size", "height"] => self.annotation.size[1] = pixels("height", text)?,
            ["annotation", "object", "name"] => self.name = Some(text.to_owned()),
            // The parts of an object have boxes too, one level deeper.
            ["annotation", "object", "bndbox", side] => {
                if let Some(at) = SIDES.iter().position(|known| known == side) {
                    let value = text.parse().map_err(|_| not_a_number(side, text))?;
                    self.sides[at] = Some(value);
                }
            }
            ["annotation", "object"] => {
                let name = self.name.take().filter(|name| !name.is_empty());
                let name = name.ok_or_else(|| refused("an object has no name"))?;
                let [Some(x0), Some(y0), Some(x1), Some(y1)] = self.sides else {
                    return Err(refused(&format!("the box of `{}` is incomplete", beginning(&name))));
                };
                self.annotation.objects.push(VocObject { name, sides: [x0, y0, x1, y1] });
            }
            _ => {}
        }
        self.path.pop();
        self.text.clear();
        Ok(())
    }

    fn finish(self) -> Result<VocAnnotation, TruthError> {
        match self.path.last() {
            Some(open) => Err(refused(&format!("the file ends inside `{}`", beginning(open)))),
            None if !self.has_root => Err(refused("it has no elements")),
            None => Ok(self.annotation),
        }
    }
}

fn pixels(what: &str, text: &str) -> Result<u32, TruthError> {
    text.parse().map_err(|_| not_a_number(what, text))
}

fn not_a_number(what: &str, text: &str) -> TruthError {
    refused(&format!("`{what}` is `{}`, expected a number", beginning(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ILSVRC: &str = "<annotation>
        <folder>val</folder><filename>ILSVRC2012_val_00000001</filename>
        <source><database>ILSVRC_2012</database></source>
        <size><width>500</width><height>375</height><depth>3</depth></size>
        <object><name>n01751748</name><difficult>0</difficult>
            <bndbox><xmin>111</xmin><ymin>108</ymin><xmax>441</xmax><ymax>193</ymax></bndbox></object>
    </annotation>";

    #[test]
    fn annotations_are_read() {
        let found = parse_voc(ILSVRC).unwrap();
        assert_eq!((found.file_name.as_str(), found.size), ("ILSVRC2012_val_00000001", [500, 375]));
        assert!(found.counts_from_zero);
        assert_eq!(found.objects, [VocObject { name: "n01751748".into(), sides: [111.0, 108.0, 441.0, 193.0] }]);
        let pascal = "<?xml version='1.0'?><!-- x --><annotation><filename>a &amp; b&#233;.jpg</filename><source><database>The VOC2007 \
            Database</database></source><object><name>person</name><bndbox><ymax>4</ymax><xmin>1.5</xmin><ymin>2</ymin><xmax>3</xmax>\
            </bndbox><part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>\
            </object><segmented/></annotation>";
        let found = parse_voc(pascal).unwrap();
        assert_eq!((found.file_name.as_str(), found.counts_from_zero), ("a & bé.jpg", false));
        assert_eq!(found.objects, [VocObject { name: "person".into(), sides: [1.5, 2.0, 3.0, 4.0] }]);
    }

    #[test]
    fn damaged_and_hostile_annotations_are_refused() {
        let bomb =
            "<!DOCTYPE a [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><annotation><filename>&b;</filename></annotation>";
        let deep = format!("<annotation>{}", "<a>".repeat(100));
        for (text, problem) in [
            ("", "no elements"),
            ("<html></html>", "root element is `html`"),
            ("<annotation>", "ends inside `annotation`"),
            ("<annotation></annotation><annotation></annotation>", "two root elements"),
            ("<annotation><a></b></annotation>", "expected `</a>`"),
            ("<annotation><filename>&nbsp;</filename></annotation>", "the entity `nbsp` is not known"),
            ("<annotation><size><width>-5</width></size></annotation>", "`width` is `-5`"),
            ("<annotation><object><name/></object></annotation>", "no name"),
            ("<annotation><object><name>x</name></object></annotation>", "the box of `x` is incomplete"),
            (bomb, "document type"),
            (deep.as_str(), "nested more than 32"),
        ] {
            let message = parse_voc(text).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
    }
}
