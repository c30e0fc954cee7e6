use std::str::FromStr;

use clap::Args;

use crate::api::Span;
use crate::object::{Manifest, Unbounded};
use crate::{cluster, render, yaml};

/// What the files of a repository may cost: whoever may commit can write anything into them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What a tree may cost")]
pub struct LimitArguments {
    /// Bytes of one file
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "BYTES",
        default_value = "8Mi",
        env = "FAIRLEAD_MAX_FILE_BYTES"
    )]
    max_file_bytes: Size,
    /// Documents of one file
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "COUNT",
        default_value_t = 5_000,
        env = "FAIRLEAD_MAX_DOCUMENTS"
    )]
    max_documents: usize,
    /// Lists and maps inside one another
    #[arg(long, global = true, hide_short_help = true, value_name = "COUNT", default_value_t = 100, env = "FAIRLEAD_MAX_DEPTH", value_parser = depth)]
    max_depth: usize,
    /// Keys, values, lists and maps of one file, with every alias expanded
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "COUNT",
        default_value_t = 1_000_000,
        env = "FAIRLEAD_MAX_NODES"
    )]
    max_nodes: usize,
    /// Bytes of text that aliases add to one file
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "BYTES",
        default_value = "32Mi",
        env = "FAIRLEAD_MAX_ALIAS_BYTES"
    )]
    max_alias_bytes: Size,
    /// Objects of one app
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "COUNT",
        default_value_t = 50_000,
        env = "FAIRLEAD_MAX_OBJECTS"
    )]
    max_objects: usize,
    /// Bytes of one object, as JSON
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "BYTES",
        default_value = "1500000",
        env = "FAIRLEAD_MAX_OBJECT_BYTES"
    )]
    max_object_bytes: Size,
    /// Bytes of all objects of one app, as JSON
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "BYTES",
        default_value = "512Mi",
        env = "FAIRLEAD_MAX_TOTAL_BYTES"
    )]
    max_total_bytes: Size,
    /// How long the render of one app may take, helm's part aside
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "TIME",
        default_value = "60s",
        env = "FAIRLEAD_MAX_RENDER_TIME"
    )]
    max_render_time: Span,
}

impl LimitArguments {
    pub fn limits(&self) -> render::Limits {
        render::Limits {
            yaml: yaml::Limits {
                file_bytes: self.max_file_bytes.0,
                documents: self.max_documents,
                depth: self.max_depth,
                nodes: self.max_nodes,
                alias_bytes: self.max_alias_bytes.count(),
            },
            objects: self.max_objects,
            object_bytes: self.max_object_bytes.count(),
            total_bytes: self.max_total_bytes.count(),
            time: self.max_render_time.duration(),
            clock: cluster::uptime,
            memory: std::sync::Arc::new(Unbounded),
        }
    }
}

fn depth(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(depth @ 1..=Manifest::DEEPEST) => Ok(depth),
        _ => Err(format!("write a number from 1 to {}", Manifest::DEEPEST)),
    }
}

/// Bytes: a number, or one with Ki, Mi or Gi.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u64);

impl Size {
    pub fn bytes(self) -> u64 {
        self.0
    }

    fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, shift) = match text.split_at_checked(text.len().saturating_sub(2)) {
            Some((number, "Ki")) => (number, 10),
            Some((number, "Mi")) => (number, 20),
            Some((number, "Gi")) => (number, 30),
            _ => (text, 0),
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| "write a number of bytes, such as 1500000, 512Ki or 8Mi".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        limits: LimitArguments,
    }

    #[test]
    fn what_is_not_said_is_as_the_renderer_has_it() {
        let program = <Program as clap::Parser>::try_parse_from(["fairlead"]).unwrap();
        let (said, own) = (program.limits.limits(), render::Limits::default());
        assert_eq!(said.yaml, own.yaml);
        assert_eq!((said.objects, said.object_bytes), (own.objects, own.object_bytes));
        assert_eq!((said.total_bytes, said.time), (own.total_bytes, own.time));
    }

    #[test]
    fn a_size_is_a_number_of_bytes() {
        for (text, bytes) in [("0", 0), ("1500000", 1_500_000), ("512Ki", 512 << 10), ("2Gi", 2 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "Mi", "-1", "1.5Mi", "1M", "8 Mi", "99999999999999Gi", "é"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_depth_is_one_that_an_object_can_have() {
        assert_eq!(depth("100"), Ok(100));
        for text in ["0", "121", "deep"] {
            assert!(depth(text).is_err(), "{text}");
        }
    }
}
