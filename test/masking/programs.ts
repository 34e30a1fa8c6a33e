import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Programs that write a text in a form of their own, and their recorded outputs. */

export interface Program {
  /** The program that must be installed. */
  needs: string
  /** A script that runs in an empty folder, with the text as `$SECRET`. */
  script: string
  /** The rest of the output, besides the text. */
  frame?: readonly string[]
  /** Whether it is compiled for each text. That takes too long for a test, so only the recorded output is tested. */
  compiled?: true
  /** Whether it runs with ASCII only. */
  ascii?: true
  /** Matches texts that it cannot write completely, or not in one piece. */
  not?: RegExp
}

/** The texts. Each word of at least three letters occurs nowhere else, so it reveals a text that was not masked. */
export const texts: readonly string[] = [
  'zebra-quilt_7',
  'zebra quilt jumbo',
  "zebra's quilt",
  'zebra "quilt" jumbo',
  'zebra\'s "quilt" `jumbo`',
  'zebra$quilt$$jumbo!x',
  'zebra\\quilt\\\\jumbo\\n',
  'zebra quilt\njumbo "vixen"\tfjord',
  'zebräquiltñ→€😀',
  '<zebra quilt="jumbo">&vixen;</fjord>',
  '#zebra,quilt;jumbo|vixen&fjord=~gimp%hymns*lynx?',
  'zebra[quilt]{jumbo}^vixen@fjord:gimp/hymns+(lynx)>-',
  'zebra\x1b[0mquilt\x01\x7fjumbo\rvixen',
]

const control = /[\x01-\x08\x0b-\x1f\x7f]/
const python = (expression: string) => `python3 -c 'import os, shlex, html
text, data = os.environ["SECRET"], os.environb[b"SECRET"]
print(${expression})'`
const node = (expression: string) => `node -e 'const text = process.env.SECRET
console.log(${expression})'`
const go = (verb: string) => `cat > main.go <<'END'
package main
import ("fmt"; "os"; "html"; "encoding/json")
func main() { s := os.Getenv("SECRET"); _ = html.EscapeString; _ = json.Marshal; fmt.Println(${verb}) }
END
GOFLAGS=-buildvcs=false go run main.go`
const perl = (settings: string) =>
  `perl -MData::Dumper -e '$Data::Dumper::Terse = 1; ${settings} print Dumper($ENV{SECRET})'`
const jq = (filter: string) => `jq -nr 'env.SECRET | ${filter}'`
const sqlite = (mode: string) =>
  `printf %s "$SECRET" > text; sqlite3 ${mode} :memory: "select cast(readfile('text') as text)"`

/** The outputs of each program for each text, recorded on a machine that had all programs. */
export const RECORDED = join(import.meta.dirname, 'programs.json')

export const programs: Readonly<Record<string, Program>> = {
  'bash -x': { needs: 'bash', script: `PS4='+ ' bash -xc ': "$SECRET"'`, frame: ['+ :'] },
  'bash -x in ASCII': {
    needs: 'bash',
    script: `PS4='+ ' bash -xc ': "$SECRET"'`,
    frame: ['+ :'],
    ascii: true,
  },
  'bash %q': { needs: 'bash', script: `bash -c 'printf %q "$SECRET"'` },
  'bash %q in ASCII': { needs: 'bash', script: `bash -c 'printf %q "$SECRET"'`, ascii: true },
  'bash @Q': { needs: 'bash', script: `bash -c 'echo "\${SECRET@Q}"'` },
  'bash declare -p': { needs: 'bash', script: `bash -c 'declare -p SECRET'`, frame: ['declare -x SECRET='] },
  'bash trap -p': {
    needs: 'bash',
    script: `bash -c 'trap -- "$SECRET" USR1; trap -p'`,
    frame: ['trap -- ', ' SIGUSR1'],
  },
  'dash export -p': {
    needs: 'dash',
    script: `dash -c 'export -p' | sed -n '/ SECRET=/,/^export/p' | sed '/^export [^S]/d;/^export S[^E]/d'`,
    frame: ['export SECRET='],
  },
  'dash -x': { needs: 'dash', script: `PS4='+ ' dash -xc ': "$SECRET"'`, frame: ['+ :'] },
  'busybox -x': { needs: 'busybox', script: `PS4='+ ' busybox sh -xc ': "$SECRET"'`, frame: ['+ :'] },
  'ls as a shell reads it': {
    needs: 'ls',
    script: `touch -- "\${SECRET%/*}"; ls --quoting-style=shell-escape`,
    not: /\//,
  },
  'ls as a shell reads it, in ASCII': {
    needs: 'ls',
    script: `touch -- "\${SECRET%/*}"; ls --quoting-style=shell-escape`,
    ascii: true,
    not: /\//,
  },
  'ls -Q': { needs: 'ls', script: 'touch -- "$SECRET"; ls -Q', not: /\// },
  'ls -b': { needs: 'ls', script: 'touch -- "$SECRET"; ls -b', not: /\// },
  'ls -b in ASCII': { needs: 'ls', script: 'touch -- "$SECRET"; ls -b', ascii: true, not: /\// },
  'an error of cat': {
    needs: 'cat',
    script: 'cat -- "$SECRET" 2>&1 || true',
    frame: ['cat: ', ': No such file or directory'],
  },
  'env -v': {
    needs: 'env',
    script: 'env -v true "$SECRET" 2>&1',
    frame: ['executing: true', 'arg[0]= ‘true’', 'arg[1]= '],
  },
  'git ls-files': {
    needs: 'git',
    script: 'git init -q . && touch -- "$SECRET" && git add -- . && git ls-files',
    not: /\//,
  },
  'git rev-parse --sq-quote': { needs: 'git', script: 'git rev-parse --sq-quote "$SECRET"' },
  strace: {
    needs: 'strace',
    script: `strace -s 200 -e trace=execve true "$SECRET" 2>&1 | sed -n 's/.*\\["true", \\(.*\\)\\], 0x.*/\\1/p'`,
    not: control,
  },
  'python repr': { needs: 'python3', script: python('repr(text)') },
  'python ascii': { needs: 'python3', script: python('ascii(text)') },
  'python repr of bytes': { needs: 'python3', script: python('repr(data)[1:]') },
  'python repr of a bytearray': {
    needs: 'python3',
    script: python('bytearray(data)'),
    frame: ['bytearray(b'],
  },
  'python shlex.quote': { needs: 'python3', script: python('shlex.quote(text)') },
  'python html.escape': { needs: 'python3', script: python('html.escape(text)') },
  'python xmlcharrefreplace': {
    needs: 'python3',
    script: python('html.escape(text).encode("ascii", "xmlcharrefreplace").decode()'),
  },
  'python hex with colons': { needs: 'python3', script: python('data.hex(":")') },
  'python hex with blanks': { needs: 'python3', script: python('data.hex(" ").upper()') },
  'python list of hex': { needs: 'python3', script: python('", ".join(f"0x{byte:02x}" for byte in data)') },
  'python all bytes': { needs: 'python3', script: python('"".join(f"\\\\x{byte:02X}" for byte in data)') },
  'node util.inspect': { needs: 'node', script: node('[text]') },
  'node Buffer': {
    needs: 'node',
    script: node('Buffer.from(text)'),
    frame: ['<Buffer ', ' ... 1 more byte'],
  },
  'perl Data::Dumper': { needs: 'perl', script: perl('') },
  'perl Data::Dumper, Useqq': { needs: 'perl', script: perl('$Data::Dumper::Useqq = 1;'), not: control },
  'perl quotemeta': { needs: 'perl', script: `perl -e 'print quotemeta $ENV{SECRET}'`, not: /[^\x00-\x7f]/ },
  'go %q': { needs: 'go', compiled: true, script: go('fmt.Sprintf("%q", s)') },
  'go %+q': { needs: 'go', compiled: true, script: go('fmt.Sprintf("%+q", s)') },
  'go html': { needs: 'go', compiled: true, script: go('html.EscapeString(s)') },
  'go % x': { needs: 'go', compiled: true, script: go('fmt.Sprintf("% x", s)') },
  'go %#v': {
    needs: 'go',
    compiled: true,
    script: go('fmt.Sprintf("%#v", []byte(s))'),
    frame: ['[]byte{'],
    not: control,
  },
  rust: {
    needs: 'rustc',
    compiled: true,
    script: `cat > main.rs <<'END'
fn main() { println!("{:?}", std::env::var("SECRET").unwrap()); }
END
rustc -Awarnings main.rs && ./main`,
  },
  'jq @sh': { needs: 'jq', script: jq('@sh') },
  'jq @html': { needs: 'jq', script: jq('@html') },
  'jq @csv': { needs: 'jq', script: jq('[.] | @csv') },
  'jq @tsv': { needs: 'jq', script: jq('[.] | @tsv') },
  'jq JSON in JSON': { needs: 'jq', script: jq('tojson | tojson') },
  'jq -a': { needs: 'jq', script: `jq -na 'env.SECRET'` },
  'sqlite quote': { needs: 'sqlite3', script: sqlite('-quote') },
  'sqlite csv': { needs: 'sqlite3', script: sqlite('-csv') },
  'sqlite html': { needs: 'sqlite3', script: sqlite('-html'), frame: ['<TR><TD>', '</TD>', '</TR>'] },
  'sqlite json': {
    needs: 'sqlite3',
    script: sqlite('-json'),
    frame: [`[{"cast(readfile('text') as text)":`],
    not: control,
  },
  xxd: {
    needs: 'xxd',
    script: 'printf %s "$SECRET" | head -c 16 | xxd',
    frame: ['00000000'],
    not: /^.{17}|[^\x00-\x7f]/s,
  },
  'xxd -p': { needs: 'xxd', script: 'printf %s "$SECRET" | xxd -p -c 0' },
  'hexdump -C': {
    needs: 'hexdump',
    script: `printf %s "$SECRET" | hexdump -C | head -1`,
    frame: ['00000000'],
    not: /^.{17}|[^\x00-\x7f]/s,
  },
  'od -tx1': { needs: 'od', script: 'printf %s "$SECRET" | od -An -tx1', not: /^.{17}|[^\x00-\x7f]/s },
}

/** Returns what a program on this machine writes. */
export function written({ script, ascii }: Program, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-masking-'))
  const { PATH, HOME } = process.env
  const env = { PATH, HOME, SECRET: text, LC_ALL: ascii ? 'C' : 'C.UTF-8', TERM: 'dumb', PYTHONUTF8: '1' }
  try {
    // If its input were a socket, as a pipe of Node is, bash would read the user's settings.
    return execFileSync('/bin/sh', ['-c', `exec 2>&1 </dev/null\n${script}`], {
      cwd: folder,
      env,
      encoding: 'utf8',
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export const isHere = ({ needs }: Program): boolean =>
  spawnSync('/bin/sh', ['-c', `command -v ${needs}`], { stdio: 'ignore' }).status === 0

/** Returns the texts that a program can write. */
export const textsFor = ({ not }: Program): string[] => texts.filter((text) => !not?.test(text))

if (process.argv[2] === 'record') {
  const all = Object.entries(programs).map(([name, program]) => {
    const outputs = isHere(program) ? textsFor(program).map((text) => [text, written(program, text)]) : []
    return [name, Object.fromEntries(outputs)]
  })
  writeFileSync(RECORDED, `${JSON.stringify(Object.fromEntries(all), null, 2)}\n`)
}
