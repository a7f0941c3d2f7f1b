//! What is wrong with a file that people write, said so that they can put it right.
//!
//! A problem names file, line, key, what is wrong and what to write instead; all problems of all
//! files are reported together, so that nobody has to start five times.

use std::{cell::RefCell, fmt, path::Path, path::PathBuf};

/// One thing that must be put right before the gateway starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// From 1; 0 where the whole file is meant.
    pub line: usize,
    /// The key as it is written; empty where no key is meant.
    pub key: String,
    pub what: String,
    /// What to do about it, in the imperative.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.file, self.line, &self.key)?;
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// Everything that is wrong, one line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects what is found while files are read. Shared by reference, hence the cells.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<String>>,
}

impl Findings {
    pub fn problem(&self, file: &Path, line: usize, key: &str, what: String, remedy: String) {
        let (file, key) = (file.to_owned(), key.to_owned());
        let (what, remedy) = (one_line(&what), one_line(&remedy));
        self.problems.borrow_mut().push(Problem { file, line, key, what, remedy });
    }

    pub fn warning(&self, file: &Path, line: usize, key: &str, what: &str) {
        let text = Warning { file, line, key, what }.to_string();
        self.warnings.borrow_mut().push(one_line(&text));
    }

    /// Whether anything was found that stands in the way of a start.
    pub fn any_problem(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// Problems in the order of the files and their lines, and the warnings.
    pub fn into_parts(self) -> (Problems, Vec<String>) {
        let mut problems = self.problems.into_inner();
        let mut files: Vec<PathBuf> = Vec::new();
        for problem in &problems {
            if !files.contains(&problem.file) {
                files.push(problem.file.clone());
            }
        }
        problems.sort_by_key(|p| (files.iter().position(|file| *file == p.file), p.line));
        (Problems(problems), self.warnings.into_inner())
    }
}

/// A value that is quoted in a message may hold anything; a message is one line all the same.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

struct Warning<'a> {
    file: &'a Path,
    line: usize,
    key: &'a str,
    what: &'a str,
}

impl fmt::Display for Warning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, self.file, self.line, self.key)?;
        f.write_str(self.what)
    }
}

/// `FILE:LINE: "key": `
fn place(f: &mut fmt::Formatter<'_>, file: &Path, line: usize, key: &str) -> fmt::Result {
    write!(f, "{}:", file.display())?;
    if line > 0 {
        write!(f, "{line}:")?;
    }
    if !key.is_empty() {
        write!(f, " \"{}\":", key.escape_debug())?;
    }
    f.write_str(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_line_end_in_it_does_not_break_the_message() {
        let findings = Findings::default();
        let file = Path::new("goastgateway.json");
        let what = "no\n\u{1b}[2Jkey.pem isn't there";
        findings.problem(file, 3, "key_file", what.to_owned(), "write é".to_owned());
        findings.warning(file, 4, "log_level", what);
        let (problems, warnings) = findings.into_parts();
        let told = problems.to_string();
        assert_eq!(
            told,
            "goastgateway.json:3: \"key_file\": no\\n\\u{1b}[2Jkey.pem isn't there; write é"
        );
        assert!(warnings.iter().all(|w| !w.contains(char::is_control)), "{warnings:?}");
    }
}
