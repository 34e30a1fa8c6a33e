/** Writes a character by its code. */
type Code = (point: number) => string

const digits = (value: number, radix: number, length: number): string =>
  value.toString(radix).padStart(length, '0')
const byBytes =
  (code: Code): Code =>
  (point) =>
    [...Buffer.from(String.fromCodePoint(point))].map(code).join('')

const octal = byBytes((byte) => `\\${digits(byte, 8, 3)}`)
const hex: Code = (point) => `\\x${digits(point, 16, 2)}`
const capitalHex: Code = (point) => `\\x${digits(point, 16, 2).toUpperCase()}`
const long: Code = (point) => (point < 0x1_0000 ? `\\u${digits(point, 16, 4)}` : `\\U${digits(point, 16, 8)}`)
const python: Code = (point) => (point < 0x100 ? hex(point) : long(point))
const go: Code = (point) => (point < 0x80 ? hex(point) : long(point))
const braces: Code = (point) => `\\u{${digits(point, 16, 1)}}`
const perl: Code = (point) => `\\x{${digits(point, 16, 1)}}`

/** Describes how a program writes a text between quotes with backslashes. */
interface Dialect {
  /** Characters that get a backslash before them, besides the backslash itself. */
  escaped: string
  /** Letters for control characters; absent: it writes all of them unchanged. */
  letters?: string
  /** Code of other control characters. */
  control?: Code
  /** Code of characters that are not ASCII; absent: they stay unchanged. */
  wide?: Code
}

const LETTERS: Readonly<Record<string, string>> = {
  '\x07': 'a',
  '\b': 'b',
  '\x1b': 'eE',
  '\f': 'f',
  '\n': 'n',
  '\r': 'r',
  '\t': 't',
  '\v': 'v',
}
const C = 'abfnrtv'

const DIALECTS: readonly Dialect[] = [
  // bash's $'…', in a locale with the character and in one without
  { escaped: "'", letters: `${C}E`, control: octal },
  { escaped: "'", letters: `${C}E`, control: octal, wide: octal },
  // bash's declare -p and export -p
  { escaped: '"$`' },
  // C, Git, ls -Q, a few databases' shells; ls -b; other messages of GNU's programs
  { escaped: '"', letters: C, control: octal },
  { escaped: '"', letters: C, control: octal, wide: octal },
  { escaped: ' ', letters: C, control: octal },
  { escaped: ' ', letters: C, control: octal, wide: octal },
  { escaped: '', letters: C, control: octal },
  { escaped: "'", letters: C, control: octal, wide: octal },
  // Python: repr, ascii, of bytes; depending on its quotes
  { escaped: '', letters: 'nrt', control: python },
  { escaped: '', letters: 'nrt', control: python, wide: python },
  { escaped: '', letters: 'nrt', control: hex, wide: byBytes(hex) },
  { escaped: "'", letters: 'nrt', control: python },
  { escaped: "'", letters: 'nrt', control: python, wide: python },
  { escaped: "'", letters: 'nrt', control: hex, wide: byBytes(hex) },
  // Node's util.inspect
  { escaped: '', letters: 'bfnrt', control: capitalHex },
  { escaped: "'", letters: 'bfnrt', control: capitalHex },
  // Go's %q and %+q
  { escaped: '"', letters: C, control: go },
  { escaped: '"', letters: C, control: go, wide: go },
  // Rust
  { escaped: '"', letters: 'nrt', control: braces },
  { escaped: '\'"', letters: 'nrt', control: braces, wide: braces },
  // Perl's Data::Dumper, with and without Useqq, and PHP's var_export
  { escaped: "'" },
  { escaped: '"$@', letters: 'abefnrt', control: octal, wide: octal },
  { escaped: '"$@', letters: 'abefnrt', control: octal, wide: perl },
  // MySQL; jq's @tsv; only the backslash
  { escaped: '\'"', letters: 'nr' },
  { escaped: '', letters: 'nrt' },
  { escaped: '' },
]

/** Characters that get a backslash for a shell, according to bash's %q, Ruby's Shellwords, Perl's quotemeta. */
const BACKSLASHED = [/[ \t"'\\|&;()<>!{}*[\]?^$`,]|^[#~]|(?<=[=:])~/g, /[^\w\-.,:+/@\n]/g, /[^\w]/g]

/**
 * Returns the forms inside the quotes that shells, languages and databases add by themselves (`set -x`, `repr`, a
 * listing of names): one form each, most of which are the same for most texts.
 */
export function quotedForms(text: string): string[] {
  return [
    ...DIALECTS.map((dialect) => escaped(text, dialect)),
    ...BACKSLASHED.map((special) => text.replace(special, '\\$&')),
    // bash and others; Git; dash, busybox and Python; SQL, YAML and PowerShell
    text.replaceAll("'", "'\\''"),
    text.replace(/['!]/g, "'\\$&'"),
    text.replace(/'+/g, `'"$&"'`),
    text.replaceAll("'", `'"'"'`),
    text.replaceAll("'", "''"),
    // CSV and SQL's names; compose files and makefiles
    text.replaceAll('"', '""'),
    text.replaceAll('$', '$$$$'),
    ...shellEscaped(text),
  ]
}

function escaped(text: string, dialect: Dialect): string {
  return Array.from(text, (character) => escapedCharacter(character, dialect)).join('')
}

function escapedCharacter(character: string, { escaped, letters = '', control, wide }: Dialect): string {
  if (character === '\\' || escaped.includes(character)) return `\\${character}`
  const letter = [...(LETTERS[character] ?? '')].find((each) => letters.includes(each))
  if (letter !== undefined) return `\\${letter}`
  const point = character.codePointAt(0)!
  if (wide !== undefined && point >= 0x80) return wide(point)
  return control !== undefined && /[\p{C}\p{Z}]/u.test(character) && character !== ' '
    ? control(point)
    : character
}

/**
 * Returns the quoted forms of GNU's `ls`, `stat` and `printf %q`: `'it'\''s'$'
 * ''new'`, in a locale with non-ASCII characters and in one without.
 */
function shellEscaped(text: string): string[] {
  const dialect = { escaped: '', letters: C, control: octal, wide: octal }
  return [/\p{Cc}+/gu, /[\p{Cc}\u{80}-\u{10ffff}]+/gu].map((special) =>
    text
      .replaceAll("'", "'\\''")
      .replace(special, (run) => `'$'${escaped(run, dialect)}''`)
      // At the end no quotes are opened again.
      .replace(/''$/, "'"),
  )
}
