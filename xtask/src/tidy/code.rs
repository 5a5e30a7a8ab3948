//! Separates the code of a Rust file from its comments and literals, so that words in them are no findings.
//!
//! **Invariant:** every line keeps its number; what is blanked out becomes spaces.

/// The text with comments and the insides of string and character literals blanked out.
pub(super) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let end = skip(&chars, at);
        if end > at {
            out.extend(
                chars
                    .iter()
                    .take(end)
                    .skip(at)
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        } else {
            out.push(c);
            at += 1;
        }
    }
    out
}

/// The words of a line of code: identifiers and keywords.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Where the comment or literal that begins at `at` ends (exclusive); `at` itself when none begins there.
fn skip(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied();
    match next(0) {
        Some('/') if next(1) == Some('/') => find(chars, at, |c| c == '\n'),
        Some('/') if next(1) == Some('*') => block_comment(chars, at),
        Some('"') => string(chars, at),
        Some('r') if !follows_word(chars, at) => raw_string(chars, at),
        Some('\'') => character(chars, at),
        _ => at,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    let rest = chars.iter().skip(from);
    rest.clone()
        .position(|c| wanted(*c))
        .map_or(chars.len(), |offset| from + offset)
}

fn follows_word(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| chars.get(at));
    // b"..", br".." and c".." are strings all the same.
    before.is_some_and(|c| (c.is_alphanumeric() || *c == '_') && *c != 'b' && *c != 'c')
}

/// Block comments nest.
fn block_comment(chars: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut here = at;
    while let Some(c) = chars.get(here) {
        match (c, chars.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            return here;
        }
    }
    chars.len()
}

fn string(chars: &[char], at: usize) -> usize {
    let mut here = at + 1;
    while let Some(c) = chars.get(here) {
        match c {
            '\\' => here += 2,
            '"' => return here + 1,
            _ => here += 1,
        }
    }
    chars.len()
}

/// `r"..."` and `r#"..."#` with any number of hashes; a raw identifier (`r#type`) is none.
fn raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars.iter().skip(at + 1).take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let closes = |here: usize| {
        chars.get(here) == Some(&'"')
            && chars
                .iter()
                .skip(here + 1)
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
    };
    let end = (open + 1..chars.len()).find(|here| closes(*here));
    end.map_or(chars.len(), |here| here + 1 + hashes)
}

/// A character literal; a lifetime or label (`'a`) is none.
fn character(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), Some(_)) => (find(chars, at + 3, |c| c == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_vanish_and_code_stays() {
        let cases = [
            ("a // b\nc", "a\nc"),
            ("a /* b /* c */ d */ e", "a e"),
            ("f(\"un\\\"safe\") g", "f( ) g"),
            ("x(r#\"a\"b\"#) y", "x( ) y"),
            ("r#type z", "r#type z"),
            ("fn f<'a>(x: &'a u8) {}", "fn f<'a>(x: &'a u8) {}"),
            ("'x' '\\'' '\\u{1}' end", "end"),
            ("b\"bytes\" end", "b end"),
            ("for r in 0..1 {}", "for r in 0..1 {}"),
            ("\"never closed", ""),
        ];
        for (text, expect) in cases {
            let blank = code_only(text);
            let lines = blank
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            assert_eq!(lines.collect::<Vec<_>>().join("\n"), expect, "{text}");
            assert_eq!(blank.chars().count(), text.chars().count(), "{text}");
        }
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(
            words("#[unsafe(no_mangle)] x").collect::<Vec<_>>(),
            ["unsafe", "no_mangle", "x"]
        );
    }
}
