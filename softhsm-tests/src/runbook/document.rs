//! What a runbook wants executed: its blocks ` ```sh `, and the block ` ```text ` right after one as what must be seen.
//!
//! A block that must end with another status than 0 says so: ` ```sh ends=7 `. In what must be seen, `…` stands for
//! anything, and every line must come, in this order, between any others.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A runbook.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its file.
    pub path: PathBuf,
    /// What to execute, in order.
    pub blocks: Vec<Block>,
}

/// Commands, and how they must end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Where it begins.
    pub line: usize,
    /// The commands.
    pub commands: String,
    /// The status of the last one.
    pub ends: i32,
    /// Lines that must be seen.
    pub seen: Vec<String>,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or a block isn't closed or says something unknown.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let blocks = blocks(&text).with_context(|| format!("{}", path.display()))?;
        Ok(Self { path: path.to_owned(), blocks })
    }
}

/// Where a line stands.
enum Place {
    /// Between blocks; true right after a block of commands.
    Prose(bool),
    Commands(Block, usize),
    Seen(usize),
    /// In a block of something else.
    Other,
}

fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut place = Place::Prose(false);
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let fence = line.trim_start().strip_prefix("```");
        let indent = line.len() - line.trim_start().len();
        place = match (place, fence) {
            (Place::Prose(after), None) => Place::Prose(after && line.trim().is_empty()),
            (Place::Prose(after), Some(info)) => match info.split_whitespace().next() {
                Some("sh") => Place::Commands(
                    Block { line: number, ends: ends(info, number)?, ..Block::default() },
                    indent,
                ),
                Some("text") if after => Place::Seen(indent),
                _ => Place::Other,
            },
            (Place::Commands(mut block, indent), None) => {
                block.commands.push_str(line.get(indent..).unwrap_or_default());
                block.commands.push('\n');
                Place::Commands(block, indent)
            }
            (Place::Commands(block, _), Some(_)) => {
                blocks.push(block);
                Place::Prose(true)
            }
            (Place::Seen(indent), None) => {
                if let Some(block) = blocks.last_mut().filter(|_| !line.trim().is_empty()) {
                    block.seen.push(line.get(indent..).unwrap_or_default().trim_end().to_owned());
                }
                Place::Seen(indent)
            }
            (Place::Other, None) => Place::Other,
            (Place::Seen(_) | Place::Other, Some(_)) => Place::Prose(false),
        };
    }
    match place {
        Place::Prose(_) => Ok(blocks),
        _ => bail!("the last block isn't closed"),
    }
}

fn ends(info: &str, line: usize) -> Result<i32> {
    let mut status = 0;
    for word in info.split_whitespace().skip(1) {
        let value = word.strip_prefix("ends=").and_then(|value| value.parse().ok());
        status =
            value.with_context(|| format!("line {line}: {word:?} is unknown, write `sh ends=STATUS`"))?;
    }
    Ok(status)
}

impl Block {
    /// The first line that must be seen and isn't in `output`.
    pub fn missing(&self, output: &str) -> Option<&str> {
        let mut lines = output.lines();
        self.seen.iter().map(String::as_str).find(|wanted| !lines.any(|line| matches(wanted, line)))
    }
}

fn matches(wanted: &str, line: &str) -> bool {
    let mut parts = wanted.split('…').map(str::trim);
    let Some(mut rest) = parts.next().and_then(|first| line.trim().strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        match rest.split_once(part) {
            _ if parts.peek().is_none() => return rest.ends_with(part),
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Title
```sh
one
```

```text
first
third …
```
1. Step
   ```sh ends=7
   two
     deeper
   ```
Prose
```text
only shown
```
```toml
key = 1
```
";

    #[test]
    fn commands_come_with_status_and_what_must_be_seen() {
        let blocks = blocks(TEXT).expect("sound");
        let [one, two] = blocks.as_slice() else { panic!("{blocks:?}") };
        assert_eq!((one.line, one.commands.as_str(), one.ends), (2, "one\n", 0));
        assert_eq!(one.seen, ["first", "third …"]);
        assert_eq!((two.commands.as_str(), two.ends), ("two\n  deeper\n", 7));
        assert!(two.seen.is_empty(), "prose between them parts commands from what is shown");
    }

    #[test]
    fn what_must_be_seen_comes_in_order_between_other_lines() {
        let block = Block { seen: vec!["a … z".to_owned(), "…end".to_owned()], ..Block::default() };
        assert_eq!(block.missing("x\na b c z\ny\n  the end"), None);
        assert_eq!(block.missing("the end\na b z"), Some("…end"));
        assert_eq!(block.missing("b a z\nthe end"), Some("a … z"), "a line is seen from its beginning");
    }

    #[test]
    fn an_open_block_and_an_unknown_word_are_refused() {
        assert!(blocks("```sh\none\n").is_err());
        assert!(blocks("```sh twice\n```\n").is_err());
    }
}
