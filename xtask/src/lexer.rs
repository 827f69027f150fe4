//! A small lexer for Rust sources: tokens with their places, and the comments that a compiler throws away.
//!
//! It knows just enough to never mistake a word in a string, a character or a comment for code. It does not parse:
//! `sites.rs` reads the orderings and the comments beside them from what is found here.

/// What a token is, as far as the checks care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier, a keyword or a number.
    Word,
    /// One of `( [ {`.
    Open,
    /// One of `) ] }`.
    Close,
    /// `::`, `=>`, or any other single punctuation character.
    Punct,
    /// A string, byte string, character or lifetime.
    Literal,
}

/// One token: its bytes in the source and the line (from 1) it starts on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) line: usize,
    /// The index of the innermost opening delimiter around this token. An opener and its closer share one parent.
    pub(crate) parent: Option<usize>,
}

/// One line of a comment that is not documentation.
#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub(crate) line: usize,
    /// The text without the slashes, trimmed.
    pub(crate) text: String,
}

/// A source file after lexing.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: Vec<Comment>,
    /// For each line, counted from 1: does a token stand on it? Index 0 is unused.
    code_lines: Vec<bool>,
}

impl Source {
    /// Lexes `text`. Unbalanced or unfinished input ends the lexing early; the compiler will say what is wrong with it.
    pub(crate) fn new(text: String) -> Self {
        let mut lexer = Lexer {
            bytes: text.as_bytes(),
            at: 0,
            line: 1,
            tokens: Vec::new(),
            comments: Vec::new(),
            open: Vec::new(),
            code: Vec::new(),
        };
        lexer.run();
        let (tokens, comments, code) = (lexer.tokens, lexer.comments, lexer.code);
        let mut code_lines = vec![false; text.lines().count() + 2];
        for line in code {
            code_lines[line] = true;
        }
        Self { text, tokens, comments, code_lines }
    }

    /// The text of token `index`, or the empty string past the end.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &self.text[token.start..token.end])
    }

    /// The text of the token `back` places before `index`, or the empty string before the start.
    pub(crate) fn before(&self, index: usize, back: usize) -> &str {
        index.checked_sub(back).map_or("", |at| self.word(at))
    }

    /// The index of the closer that belongs to the opener at `open`.
    pub(crate) fn closer(&self, open: usize) -> Option<usize> {
        let parent = self.tokens[open].parent;
        (open + 1..self.tokens.len()).find(|&i| self.tokens[i].kind == Kind::Close && self.tokens[i].parent == parent)
    }

    /// Does a token stand on `line`?
    pub(crate) fn has_code(&self, line: usize) -> bool {
        self.code_lines.get(line).copied().unwrap_or(false)
    }

    /// The comment lines that stand on `line`, beside code or alone.
    pub(crate) fn comments_on(&self, line: usize) -> impl Iterator<Item = &Comment> {
        self.comments.iter().filter(move |comment| comment.line == line)
    }
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
    open: Vec<usize>,
    code: Vec<usize>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn run(&mut self) {
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'\n', _) => {
                    self.line += 1;
                    self.at += 1;
                }
                (byte, _) if byte.is_ascii_whitespace() => self.at += 1,
                (b'/', b'/') => self.line_comment(),
                (b'/', b'*') => self.block_comment(),
                (b'"', _) => self.literal(|lexer| lexer.quoted(b'"')),
                (b'\'', _) => self.literal(Self::character_or_lifetime),
                (byte, _) if is_word(byte) => self.word_or_prefixed_literal(),
                (b'(' | b'[' | b'{', _) => {
                    self.push(Kind::Open, 1);
                    self.open.push(self.tokens.len() - 1);
                }
                (b')' | b']' | b'}', _) => {
                    if self.open.pop().is_none() {
                        return;
                    }
                    self.push(Kind::Close, 1);
                }
                (b':', b':') | (b'=', b'>') => self.push(Kind::Punct, 2),
                _ => self.push(Kind::Punct, 1),
            }
        }
    }

    fn push(&mut self, kind: Kind, len: usize) {
        let parent = self.open.last().copied();
        self.tokens.push(Token { kind, start: self.at, end: self.at + len, line: self.line, parent });
        self.code.push(self.line);
        self.at += len;
    }

    fn line_comment(&mut self) {
        let start = self.at;
        while self.at < self.bytes.len() && self.peek(0) != b'\n' {
            self.at += 1;
        }
        let text = String::from_utf8_lossy(&self.bytes[start + 2..self.at]);
        if !text.starts_with(['/', '!']) {
            self.comments.push(Comment { line: self.line, text: text.trim().to_owned() });
        }
    }

    fn block_comment(&mut self) {
        let (start, first) = (self.at, self.line);
        let mut depth = 0;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        break;
                    }
                }
                (byte, _) => {
                    self.line += usize::from(byte == b'\n');
                    self.at += 1;
                }
            }
        }
        let text = String::from_utf8_lossy(&self.bytes[start + 2..self.at]);
        if text.starts_with(['*', '!']) && text.len() > 2 {
            return;
        }
        for (offset, line) in text.trim_end_matches("*/").lines().enumerate() {
            let text = line.trim().trim_start_matches('*').trim().to_owned();
            self.comments.push(Comment { line: first + offset, text });
        }
    }

    /// Records one literal token around whatever `consume` steps over; it may span lines.
    fn literal(&mut self, consume: impl FnOnce(&mut Self)) {
        let (start, line) = (self.at, self.line);
        consume(self);
        self.at = self.at.min(self.bytes.len());
        let parent = self.open.last().copied();
        self.tokens.push(Token { kind: Kind::Literal, start, end: self.at, line, parent });
        self.code.extend(line..=self.line);
    }

    /// Steps over a literal with escapes, from its opening to its closing quote.
    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        while self.at < self.bytes.len() && self.peek(0) != quote {
            let step = if self.peek(0) == b'\\' { 2 } else { 1 };
            let end = (self.at + step).min(self.bytes.len());
            self.line += self.bytes[self.at..end].iter().filter(|&&byte| byte == b'\n').count();
            self.at = end;
        }
        self.at += 1;
    }

    /// Steps over `'c'` or `'lifetime`.
    fn character_or_lifetime(&mut self) {
        let rest = &self.bytes[self.at + 1..];
        let wide = match rest.first() {
            Some(first) if first.is_ascii() => 1,
            // The length of a UTF-8 sequence is the number of its leading ones.
            Some(first) => first.leading_ones() as usize,
            None => 1,
        };
        if rest.first() == Some(&b'\\') || rest.get(wide) == Some(&b'\'') {
            self.quoted(b'\'');
            return;
        }
        self.at += 1;
        while is_word(self.peek(0)) {
            self.at += 1;
        }
    }

    /// A word, a number, or a literal with a prefix such as `b"…"`, `r#"…"#` or `b'…'`.
    fn word_or_prefixed_literal(&mut self) {
        let mut len = 1;
        while is_word(self.peek(len)) {
            len += 1;
        }
        let word = &self.bytes[self.at..self.at + len];
        let raw = matches!(word, b"r" | b"br" | b"cr");
        let mut hashes = 0;
        while raw && self.peek(len + hashes) == b'#' {
            hashes += 1;
        }
        if raw && self.peek(len + hashes) == b'"' {
            self.literal(|lexer| lexer.raw_string(len + hashes + 1, hashes));
        } else if matches!(word, b"b" | b"c") && self.peek(len) == b'"' {
            self.literal(|lexer| {
                lexer.at += len;
                lexer.quoted(b'"');
            });
        } else if word == b"b" && self.peek(len) == b'\'' {
            self.literal(|lexer| {
                lexer.at += len;
                lexer.quoted(b'\'');
            });
        } else {
            self.push(Kind::Word, len);
        }
    }

    fn raw_string(&mut self, opening: usize, hashes: usize) {
        self.at += opening;
        while self.at < self.bytes.len() {
            let byte = self.peek(0);
            self.at += 1;
            self.line += usize::from(byte == b'\n');
            if byte == b'"' && (0..hashes).all(|ahead| self.peek(ahead) == b'#') {
                self.at += hashes;
                return;
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let source = Source::new(text.to_owned());
        (0..source.tokens.len())
            .filter(|&i| source.tokens[i].kind == Kind::Word)
            .map(|i| source.word(i).to_owned())
            .collect()
    }

    #[test]
    fn words_in_literals_and_comments_are_not_code() {
        let text = concat!(
            "a \"Release \\\" Release\" b r#\"Release \" x\"# c 'R' '\\'' d // Release\n",
            "/* Release /* Release */ Release */ e b\"Release\" b'\\'' f 'life g \"",
        );
        assert_eq!(words(text), ["a", "b", "c", "d", "e", "f", "g"]);
    }

    #[test]
    fn lines_survive_strings_and_comments_that_span_them() {
        let source = Source::new("a \"x\ny\\\nz\"\n/* one\ntwo */\nb r\"\n\" c".to_owned());
        let line_of =
            |word: &str| (0..source.tokens.len()).find(|&i| source.word(i) == word).map(|i| source.tokens[i].line);
        assert_eq!(line_of("a"), Some(1));
        assert_eq!(line_of("b"), Some(6));
        assert_eq!(line_of("c"), Some(7));
        assert_eq!(
            source.comments.iter().map(|c| (c.line, c.text.as_str())).collect::<Vec<_>>(),
            [(4, "one"), (5, "two")]
        );
        assert!(source.has_code(2) && source.has_code(3) && !source.has_code(4));
    }

    #[test]
    fn documentation_is_not_a_comment() {
        let source = Source::new("/// A: doc\n//! B: doc\n/** C: doc */\n// D: comment\nfn f() {}".to_owned());
        assert_eq!(source.comments.len(), 1);
        assert_eq!(source.comments[0].text, "D: comment");
    }

    #[test]
    fn an_opener_finds_its_closer() {
        let source = Source::new("f(a, [b], (c)) d".to_owned());
        assert_eq!(source.closer(1).map(|i| source.tokens[i].end), Some(14));
    }
}
