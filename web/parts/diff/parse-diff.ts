/**
 * A line of a hunk. `before` and `after` are its numbers in the two files; `unended` if no line break follows it
 * there.
 */
export interface DiffLine {
  kind: 'same' | 'added' | 'removed'
  text: string
  before?: number
  after?: number
  unended?: true
}

export interface Hunk {
  /** The hunk's head, such as `@@ -1,3 +1,4 @@ function f`. */
  head: string
  lines: DiffLine[]
}

export interface DiffFile {
  /** The file's present path; for a removed file, the former one. */
  path: string
  /** The former path of a renamed or copied file. */
  oldPath?: string
  change: 'added' | 'removed' | 'changed' | 'renamed' | 'copied'
  /** The change of mode, such as `100644 → 100755`, if there is one. */
  mode?: string
  isBinary: boolean
  hunks: Hunk[]
  added: number
  removed: number
}

const escapes: Record<string, number> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, '"': 34, '\\': 92 }

/** Decodes names that git writes in quotes, with octal escapes for the bytes of their UTF-8. */
function unquoted(name: string): string {
  if (!name.startsWith('"') || !name.endsWith('"') || name.length < 2) return name
  const bytes: number[] = []
  const encoder = new TextEncoder()
  const inside = name.slice(1, -1)
  for (const [part] of inside.matchAll(/\\[0-7]{3}|\\.|[^\\]+/gs)) {
    if (!part.startsWith('\\')) bytes.push(...encoder.encode(part))
    else if (part.length === 4) bytes.push(Number.parseInt(part.slice(1), 8))
    else bytes.push(escapes[part[1]!] ?? part.charCodeAt(1))
  }
  return new TextDecoder().decode(new Uint8Array(bytes))
}

/** Returns `a/x` as `x`, and undefined for `/dev/null`. */
function plainPath(path: string): string | undefined {
  // A tab ends a name that contains spaces.
  const name = unquoted(path.replace(/\t$/, ''))
  return name === '/dev/null' ? undefined : name.replace(/^[ab]\//, '')
}

/** Returns the name in `a/x b/x` if both are the same; git gives differing names in lines of their own. */
function pathOfHead(rest: string): string {
  const quoted = /^("(?:[^"\\]|\\.)*") ("(?:[^"\\]|\\.)*"|.*)$/.exec(rest)
  if (quoted !== null) return plainPath(quoted[2]!) ?? ''
  const half = (rest.length - 1) / 2
  return plainPath(rest.slice(half + 1)) ?? rest
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/

/**
 * Parses the output of `git diff` or `git format-patch` into files, in its order. A hunk's head says how many lines
 * follow, so that no content passes for a head. A text that was cut gives the files it contains.
 */
export function parseDiff(text: string): DiffFile[] {
  const files: DiffFile[] = []
  let file: DiffFile | undefined
  let oldMode: string | undefined
  for (let at = 0; at < text.length; ) {
    const end = lineEnd(text, at)
    const line = text.slice(at, end)
    const begin = at
    at = end + 1
    if (line.startsWith('diff --git ')) {
      file = {
        path: pathOfHead(line.slice('diff --git '.length)),
        change: 'changed',
        isBinary: false,
        hunks: [],
        added: 0,
        removed: 0,
      }
      oldMode = undefined
      files.push(file)
    } else if (file === undefined) continue
    else if (line.startsWith('@@ -')) at = readHunk(text, begin, file) ?? at
    else if (line.startsWith('new file mode')) file.change = 'added'
    else if (line.startsWith('deleted file mode')) file.change = 'removed'
    else if (line.startsWith('old mode ')) oldMode = line.slice(9)
    else if (line.startsWith('new mode ')) file.mode = `${oldMode ?? ''} → ${line.slice(9)}`
    else if (/^(rename|copy) from /.test(line)) {
      file.change = line.startsWith('rename') ? 'renamed' : 'copied'
      file.oldPath = unquoted(line.replace(/^\w+ from /, ''))
    } else if (/^(rename|copy) to /.test(line)) file.path = unquoted(line.replace(/^\w+ to /, ''))
    else if (line.startsWith('--- ') && file.hunks.length === 0) {
      const path = plainPath(line.slice(4))
      if (path !== undefined && file.change === 'removed') file.path = path
    } else if (line.startsWith('+++ ') && file.hunks.length === 0)
      file.path = plainPath(line.slice(4)) ?? file.path
    else if (line.startsWith('Binary files ')) file.isBinary = true
    else if (line === 'GIT binary patch') {
      file.isBinary = true
      // The patch consists of letters and digits, up to the next head.
      const next = text.indexOf('\ndiff --git ', at)
      at = next === -1 ? text.length : next + 1
    }
  }
  return files
}

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from)
  return end === -1 ? text.length : end
}

/** Reads a hunk into its file and returns where it ends, or undefined if it is not a hunk. */
function readHunk(text: string, from: number, file: DiffFile): number | undefined {
  let end = lineEnd(text, from)
  const head = text.slice(from, end)
  const counts = HUNK.exec(head)
  if (counts === null) return undefined
  let [before, after] = [Number(counts[1]), Number(counts[3])]
  let [leftBefore, leftAfter] = [Number(counts[2] ?? 1), Number(counts[4] ?? 1)]
  const lines: DiffLine[] = []
  file.hunks.push({ head, lines })
  let at = end + 1
  while (at < text.length) {
    end = lineEnd(text, at)
    const mark = text[at]
    if (mark === '\\') {
      const last = lines.at(-1)
      if (last !== undefined) last.unended = true
      at = end + 1
      continue
    }
    if (leftBefore <= 0 && leftAfter <= 0) break
    // Git may be configured to omit the blank before an empty line.
    const content = text.slice(at + 1, end)
    if (mark === '+') {
      lines.push({ kind: 'added', text: content, after: after++ })
      leftAfter--
      file.added++
    } else if (mark === '-') {
      lines.push({ kind: 'removed', text: content, before: before++ })
      leftBefore--
      file.removed++
    } else if (mark === ' ' || end === at) {
      lines.push({ kind: 'same', text: content, before: before++, after: after++ })
      leftBefore--
      leftAfter--
    } else break
    at = end + 1
  }
  return at
}
