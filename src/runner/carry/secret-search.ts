import type { Readable } from 'node:stream'
import type { Masker, StreamMasker } from '../masking/masker.ts'
import type { OurRepository } from './our-repository.ts'

export interface SecretPlace {
  path: string
  /** Of the file as that commit has it. */
  line: number
  /** Words for a person, without the value. */
  kind: string
}

/** Shapes that only keys have; tests and examples that need such a word can be approved of by their path. */
const shapes: readonly [kind: string, RegExp][] = [
  ['a private key', /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----/],
  ['a token of GitHub', /\bgh[opsru]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{30,}/],
  ['a token of GitLab', /\bgl(?:pat|ptt|rt|oas|dt)-[A-Za-z0-9_-]{20,}/],
  ['a key of AWS', /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b/],
  ['a key of Anthropic', /\bsk-ant-[A-Za-z0-9]{3,12}-[A-Za-z0-9_-]{40,}/],
  [
    'a key of OpenAI',
    /\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,}|\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}/,
  ],
  ['a key of Google', /\bAIza[A-Za-z0-9_-]{35}\b/],
  ['a token of Slack', /\bxox[abeoprs]-[A-Za-z0-9]{6,}-[A-Za-z0-9-]{10,}/],
  ['a token of npm', /\bnpm_[A-Za-z0-9]{36}\b/],
  ['a token of PyPI', /\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}/],
  ['a key of Stripe', /\b[rs]k_live_[A-Za-z0-9]{24,}/],
]

const shapeOf = (text: string): string | undefined => shapes.find(([, shape]) => shape.test(text))?.[0]

const KNOWN = 'a secret of this task'
const MAX_PLACES = 20
/** Longer lines are looked at in pieces, each with so much of the one before. */
const PIECE_BYTES = 64 * 1024
const OVERLAP = 256

export interface SecretSearch {
  /** Knows the task's secrets, in all their forms. */
  masker: Masker
  /** Paths where what has but the shape of a key may stand. */
  allowed: readonly string[]
}

/** The places where those commits add a secret, each against its parents; at most 20. */
export async function secretsOfCommits(
  repository: OurRepository,
  commits: readonly string[],
  search: SecretSearch,
): Promise<SecretPlace[]> {
  const input = commits.map((id) => `${id}\n`).join('')
  return await look(repository, [...DIFF, '--stdin', '--root', '--cc'], search, input)
}

/** The same of the whole change from one commit to another. */
export async function secretsOfChange(
  repository: OurRepository,
  from: string,
  to: string,
  search: SecretSearch,
): Promise<SecretPlace[]> {
  return await look(repository, [...DIFF, from, to], search)
}

const DIFF = [
  ...['diff-tree', '-r', '-p', '-U0', '--text', '--no-renames', '--no-commit-id'],
  ...['--no-color', '--no-ext-diff', '--no-textconv'],
]

async function look(
  repository: OurRepository,
  args: readonly string[],
  search: SecretSearch,
  input?: string,
): Promise<SecretPlace[]> {
  const reader = new DiffReader(search)
  await repository.read(args, (output) => reader.readAll(output), input)
  return reader.places
}

/** Reads a diff as it comes; of it no more than a piece of a line is held. */
class DiffReader {
  readonly places: SecretPlace[] = []
  readonly #search: SecretSearch
  #path = ''
  #isHeader = true
  #parents = 1
  #line = 0
  #stream: StreamMasker | undefined
  /** Of the line that goes on: whether it was added, and its end so far. */
  #open: { added: boolean; tail: string } | undefined

  constructor(search: SecretSearch) {
    this.#search = search
  }

  async readAll(output: Readable): Promise<void> {
    let rest: Buffer = Buffer.alloc(0)
    for await (const chunk of output as AsyncIterable<Buffer>) {
      const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
      let from = 0
      for (let at = all.indexOf(10); at !== -1; at = all.indexOf(10, from)) {
        this.#piece(all.subarray(from, at), true)
        from = at + 1
      }
      rest = all.subarray(from)
      if (rest.length <= PIECE_BYTES) continue
      this.#piece(rest, false)
      rest = Buffer.alloc(0)
    }
    if (rest.length > 0) this.#piece(rest, true)
    this.#endFile()
  }

  #piece(bytes: Buffer, isEnd: boolean): void {
    if (this.#open) this.#content(bytes, isEnd, this.#open)
    else this.#begin(bytes, isEnd)
  }

  #begin(bytes: Buffer, isEnd: boolean): void {
    const first = bytes[0]
    const isContent =
      !this.#isHeader && (first === PLUS || first === MINUS || first === BLANK || first === BACKSLASH)
    if (isContent) {
      const prefix = bytes.toString('latin1', 0, this.#parents)
      const added = prefix.includes('+') && !prefix.includes('-')
      if (!prefix.includes('-') && first !== BACKSLASH) this.#line++
      this.#content(bytes.subarray(this.#parents), isEnd, { added, tail: '' })
      return
    }
    this.#header(bytes.toString('utf8', 0, 4096))
    this.#open = isEnd ? undefined : { added: false, tail: '' }
  }

  #header(line: string): void {
    const hunk = /^(@@+) .* \+(\d+)(?:,\d+)? @@/.exec(line)
    if (hunk) {
      this.#isHeader = false
      this.#parents = hunk[1]!.length - 1
      this.#line = Number(hunk[2]) - 1
    } else if (line.startsWith('diff ')) {
      this.#endFile()
      this.#isHeader = true
    } else if (this.#isHeader && line.startsWith('+++ '))
      this.#path = line
        .slice(4)
        .replace(/\t$/, '')
        .replace(/^"(.*)"$/, '$1')
        .replace(/^b\//, '')
  }

  #content(bytes: Buffer, isEnd: boolean, { added, tail }: { added: boolean; tail: string }): void {
    this.#open = isEnd ? undefined : { added, tail: added ? bytes.toString('latin1').slice(-OVERLAP) : '' }
    if (!added || this.places.length >= MAX_PLACES) return
    const text = tail + bytes.toString('latin1')
    this.#stream ??= this.#search.masker.stream()
    this.#stream.push(Buffer.from(bytes))
    if (isEnd) this.#stream.push(NEWLINE)
    if (this.#stream.hidden) {
      this.#found(KNOWN)
      this.#stream = undefined
    }
    const kind = this.#search.allowed.includes(this.#path) ? undefined : shapeOf(text)
    if (kind !== undefined) this.#found(kind)
  }

  #endFile(): void {
    const stream = this.#stream
    this.#stream = undefined
    if (!stream) return
    stream.end()
    if (stream.hidden) this.#found(KNOWN)
  }

  #found(kind: string): void {
    const place = { path: this.#path, line: this.#line, kind }
    const isSame = (other: SecretPlace) => other.path === place.path && other.line === place.line
    if (this.places.length < MAX_PLACES && !this.places.some(isSame)) this.places.push(place)
  }
}

const PLUS = 43
const MINUS = 45
const BLANK = 32
const BACKSLASH = 92
const NEWLINE = Buffer.from('\n')
