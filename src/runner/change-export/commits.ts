import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { StepFailure } from '../platform-steps/platform-step.ts'
import type { OurRepository } from './our-repository.ts'

/** Describes the author and message of commits; equal input gives equal commits, whenever they are made. */
export interface CommitWords {
  /** Author as `Name <address>`. */
  author: string
  committer: string
  /** Seconds since 1970. */
  date: number
  /** Message of a commit that has none. */
  message: string
  trailers: Readonly<Record<string, string>>
}

/** Lists the parts that the commits are made of. */
export interface CommitPlan {
  start: string
  /** Commits that existed before the agent began, besides `start`: they stay unchanged. */
  known: readonly string[]
  /** Agent's own commit, or `start` if its commits do not count. */
  head: string
  tree: string
}

/** Limit for commits: people's patience to read them ends before this. */
const MAX_COMMITS = 500

/** Returns the agent's own commits, parents first. Throws `too_large`. */
export async function newCommits(repository: OurRepository, plan: CommitPlan): Promise<string[]> {
  const { start, known, head } = plan
  const input = [head, ...[start, ...known].map((id) => `^${id}`)].map((line) => `${line}\n`).join('')
  const found: string[] = []
  await repository.lines(
    ['rev-list', '--topo-order', '--reverse', '--stdin'],
    (line) => {
      found.push(line)
      if (found.length > MAX_COMMITS)
        throw new StepFailure(
          'too_large',
          `The change has more than ${MAX_COMMITS} commits.`,
          'Combine them into one: commits: squash.',
        )
    },
    input,
  )
  return found
}

export interface CommitsAsk {
  plan: CommitPlan
  /** Agent's own commits, as `newCommits` returns them. */
  commits: readonly string[]
  words: CommitWords
  /** Returns the tree to commit in place of one of the agent's. */
  treeOf(tree: string): Promise<string>
  /** Folder for temporary files. */
  scratch: string
}

/**
 * Rewrites the commits with our author and committer, so that they name nobody who has not made them, and with the
 * trailers. What the tree has beyond them becomes another commit. A commit that changes nothing any more is left out.
 * Returns the last one, and all that were made.
 */
export async function writeCommits(
  repository: OurRepository,
  { plan, commits, words, treeOf, scratch }: CommitsAsk,
): Promise<{ tip: string; made: string[] }> {
  const { start, head, tree } = plan
  for (const identity of [words.author, words.committer]) checkIdentity(identity)
  const algorithm = start.length === 64 ? 'sha256' : 'sha1'
  const bodies: CommitObject[] = []
  const made = new Map<string, string>()
  const trees = new Map<string, string>()
  const add = (tree: string, parents: readonly string[], date: number, text: string): string => {
    const made = commitObject(commitText(tree, parents, words, date, text), algorithm)
    bodies.push(made)
    trees.set(made.id, tree)
    return made.id
  }
  const treeAt = async (commit: string) =>
    trees.get(commit) ?? (await repository.text(['rev-parse', `${commit}^{tree}`]))
  for (const id of commits) {
    const { parents, tree: own, date, message } = parse(await repository.bytes(['cat-file', 'commit', id]))
    const text = withTrailers(message === '' ? bytesText(words.message) : message, words)
    const onto = parents.map((parent) => made.get(parent) ?? parent)
    const ours = await treeOf(own)
    const isEmpty = ours !== own && onto.length === 1 && (await treeAt(onto[0]!)) === ours
    made.set(id, isEmpty ? onto[0]! : add(ours, onto, date, text))
  }
  let tip = made.get(head) ?? head
  if ((await treeAt(tip)) !== tree)
    tip = add(tree, [tip], words.date, withTrailers(bytesText(words.message), words))
  await storeCommits(repository, bodies, scratch)
  return { tip, made: bodies.map(({ id }) => id) }
}

/** Holds a commit with its name, not yet stored. */
export interface CommitObject {
  id: string
  body: Buffer
}

/** Builds a commit; `body` holds its bytes as characters. */
export function commitObject(body: string, algorithm: 'sha1' | 'sha256'): CommitObject {
  const bytes = Buffer.from(body, 'latin1')
  const id = createHash(algorithm).update(`commit ${bytes.length}\0`).update(bytes).digest('hex')
  return { id, body: bytes }
}

/** Stores commits in a repository with one call of Git; `scratch` is a folder for temporary files. */
export async function storeCommits(
  repository: OurRepository,
  bodies: readonly CommitObject[],
  scratch: string,
): Promise<void> {
  if (bodies.length === 0) return
  mkdirSync(scratch, { recursive: true, mode: 0o700 })
  try {
    const paths = bodies.map(({ id, body }) => {
      const path = join(scratch, id)
      writeFileSync(path, body)
      return path
    })
    const args = ['hash-object', '-t', 'commit', '-w', '--no-filters', '--stdin-paths']
    const stored = await repository.text(args, paths.map((path) => `${path}\n`).join(''))
    if (stored !== bodies.map(({ id }) => id).join('\n'))
      throw new Error('Git returned other commit ids than expected.')
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

const bytesText = (text: string) => Buffer.from(text).toString('latin1')

function checkIdentity(identity: string): void {
  if (/^[^<>\p{Cc}]+ <[^<>\s\p{Cc}]+>$/u.test(identity)) return
  throw new ErrandError('invalid_argument', `${JSON.stringify(identity)} is not a valid commit identity.`, {
    hint: 'Write it as Name <address>.',
  })
}

function commitText(
  tree: string,
  parents: readonly string[],
  { author, committer, date }: CommitWords,
  authored: number,
  message: string,
): string {
  const lines = [
    `tree ${tree}`,
    ...parents.map((parent) => `parent ${parent}`),
    `author ${bytesText(author)} ${authored} +0000`,
    `committer ${bytesText(committer)} ${date} +0000`,
  ]
  return `${lines.join('\n')}\n\n${message}`
}

interface Parsed {
  tree: string
  parents: string[]
  date: number
  message: string
}

/** Parses a commit. Its bytes become characters one to one, so any encoding comes out unchanged. */
function parse(bytes: Buffer): Parsed {
  const text = bytes.toString('latin1')
  const end = text.indexOf('\n\n')
  const head = (end === -1 ? text : text.slice(0, end)).split('\n')
  const of = (name: string) =>
    head.flatMap((line) => (line.startsWith(`${name} `) ? [line.slice(name.length + 1)] : []))
  const date = /> (\d{1,12}) [+-]\d{4}$/.exec(of('author')[0] ?? '')?.[1]
  return {
    tree: of('tree')[0]!,
    parents: of('parent'),
    date: Number(date ?? 0),
    message: end === -1 ? '' : text.slice(end + 2).trim(),
  }
}

/** Returns the message with only our trailers: an agent's text cannot pass for them. */
function withTrailers(message: string, { trailers }: CommitWords): string {
  const own = Object.entries(trailers).map(([key, value]) =>
    bytesText(`${key}: ${value.replaceAll(/\s+/g, ' ').trim()}`),
  )
  const names = new Set(Object.keys(trailers).map((key) => key.toLowerCase()))
  const isForged = (line: string) => {
    const name = /^\s*([A-Za-z0-9-]+)\s*:/.exec(line)?.[1]?.toLowerCase()
    return name !== undefined && (name.startsWith('errand-') || names.has(name))
  }
  const lines = message.split('\n').filter((line) => !isForged(line))
  const rest = lines.join('\n').trim()
  const last = rest.split('\n\n').at(-1)!
  const hasTrailers = rest.includes('\n\n') && last.split('\n').every((line) => /^[A-Za-z0-9-]+: /.test(line))
  if (own.length === 0) return `${rest}\n`
  return `${rest === '' ? 'Change' : rest}\n${hasTrailers ? '' : '\n'}${own.join('\n')}\n`
}
