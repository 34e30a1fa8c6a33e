import type { Readable } from 'node:stream'
import type { KnownSecrets } from '../masking/known-secrets.ts'
import type { Masker, StreamMasker } from '../masking/masker.ts'
import { StepFailure } from '../platform-steps/platform-step.ts'
import type { OurRepository } from './our-repository.ts'

interface SecretMatch {
  path: string
  /** Line number in the file as that commit has it. */
  line: number
  /** Text for a person, without the value. */
  kind: string
}

/** Formats that only keys have. */
const shapes: readonly [kind: string, RegExp][] = [
  ['a private key', /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----/],
  ['a GitHub token', /\bgh[opsru]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{30,}/],
  ['a GitLab token', /\bgl(?:pat|ptt|rt|oas|dt)-[A-Za-z0-9_-]{20,}/],
  ['an AWS key', /\b(?:AKIA|ASIA)[A-Z2-7]{16}\b/],
  ['an Anthropic key', /\bsk-ant-[A-Za-z0-9]{3,12}-[A-Za-z0-9_-]{40,}/],
  [
    'an OpenAI key',
    /\bsk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,}|\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}/,
  ],
  ['a Google key', /\bAIza[A-Za-z0-9_-]{35}\b/],
  ['a Slack token', /\bxox[abeoprs]-[A-Za-z0-9]{6,}-[A-Za-z0-9-]{10,}/],
  ['an npm token', /\bnpm_[A-Za-z0-9]{36}\b/],
  ['a PyPI token', /\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}/],
  ['a Stripe key', /\b[rs]k_live_[A-Za-z0-9]{24,}/],
]

const shapeOf = (text: string): string | undefined => shapes.find(([, shape]) => shape.test(text))?.[0]

const KNOWN = 'a secret'
const MAX_PLACES = 20
/** Size in bytes of the pieces of longer lines; each includes `OVERLAP` bytes of the one before. */
const PIECE_BYTES = 64 * 1024
const OVERLAP = 256

export interface SecretAsk {
  /** Whole change from one commit to another; if absent, only the commits are searched. */
  change?: { start: string; tip: string }
  /** Commits that are each compared with their parents: what one adds and the next removes is pushed, too. */
  commits: readonly string[]
  secrets: KnownSecrets
  /** Refuses text that only has the format of a key, too. */
  shapes: boolean
}

/**
 * Throws `unsafe_change` if files, file names or commit messages contain a secret; the message names the secret without
 * its value.
 */
export async function refuseSecrets(repository: OurRepository, ask: SecretAsk): Promise<void> {
  const { masker } = ask.secrets
  const places = await look(repository, ask, masker)
  const isKnown = places.some(({ kind }) => kind === KNOWN)
  const listed = places
    .filter(({ kind }) => kind !== KNOWN)
    .map(({ path, line, kind }) => wordsOf(path, line, kind))
  const words = await wordsOfCommits(repository, ask.commits)
  const isInWords = masker.maskText(words) !== words
  if (isKnown || isInWords)
    for (const { name, masker: one } of ask.secrets.each()) {
      const found = isKnown ? await look(repository, { ...ask, shapes: false }, one) : []
      listed.push(...found.map(({ path, line }) => wordsOf(path, line, `the secret ${name}`)))
      if (one.maskText(words) !== words) listed.push(`a commit message or a file name: the secret ${name}`)
    }
  if (listed.length === 0) return
  const all = [...new Set(listed)].slice(0, MAX_PLACES)
  throw new StepFailure(
    'unsafe_change',
    `The change contains secrets. ${all.map((each) => masker.maskText(each)).join('; ')}.`,
    'Have the code read secrets from its environment, and list files that contain them in .gitignore.',
  )
}

const wordsOf = (path: string, line: number, kind: string) => `${JSON.stringify(path)}, line ${line}: ${kind}`

async function wordsOfCommits(repository: OurRepository, commits: readonly string[]): Promise<string> {
  if (commits.length === 0) return ''
  const args = ['log', '--no-walk=unsorted', '--format=%B', '--name-only', '--no-renames', '--stdin']
  return await repository.text(args, inputOf(commits))
}

const DIFF = [
  ...['diff-tree', '-r', '-p', '-U0', '--text', '--no-renames', '--no-commit-id'],
  ...['--no-color', '--no-ext-diff', '--no-textconv'],
]

const inputOf = (commits: readonly string[]) => commits.map((id) => `${id}\n`).join('')

/** Returns the places where a secret is added, at most 20 of the change and of the commits. */
async function look(
  repository: OurRepository,
  { change, commits, shapes }: SecretAsk,
  masker: Masker,
): Promise<SecretMatch[]> {
  const places: SecretMatch[] = []
  const read = async (args: readonly string[], input?: string) => {
    const reader = new DiffReader({ masker, shapes })
    await repository.read(args, (output) => reader.readAll(output), input)
    places.push(...reader.places)
  }
  if (change) await read([...DIFF, change.start, change.tip])
  if (commits.length > 0) await read([...DIFF, '--stdin', '--root', '--cc'], inputOf(commits))
  return places
}

interface DiffSearch {
  masker: Masker
  shapes: boolean
}

/** Reads a diff as it comes, and holds at most a piece of a line. */
class DiffReader {
  readonly places: SecretMatch[] = []
  readonly #search: DiffSearch
  #path = ''
  #isHeader = true
  #parents = 1
  #line = 0
  #stream: StreamMasker | undefined
  /** State of the current line: whether it was added, and its end so far. */
  #open: { added: boolean; tail: string } | undefined

  constructor(search: DiffSearch) {
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
    const kind = this.#search.shapes ? shapeOf(text) : undefined
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
    const isSame = (other: SecretMatch) => other.path === place.path && other.line === place.line
    if (this.places.length < MAX_PLACES && !this.places.some(isSame)) this.places.push(place)
  }
}

const PLUS = 43
const MINUS = 45
const BLANK = 32
const BACKSLASH = 92
const NEWLINE = Buffer.from('\n')
