import type { Readable } from 'node:stream'
import { GitRefused } from './git-words.ts'

/** Branches and tags of a repository, as its server reports them. */
export interface Advertisement {
  /** Commits by full name; that of a tag is the commit it leads to. */
  refs: ReadonlyMap<string, string>
  /** Default branch; undefined if it has none, or none with commits. */
  defaultBranch: string | undefined
  /** Set if ids are those of SHA-256, not SHA-1. */
  isSha256: boolean
}

const MAX_BYTES = 64 * 1024 ** 2
const SYMREF = /(?:^| )symref=HEAD:refs\/heads\/(\S+)/

/** Reads Git's answer to its first request (protocol 0 or 1) from a web server. Throws `GitRefused`. */
export async function readAdvertisement(body: Readable, host: string): Promise<Advertisement> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
      if (length > MAX_BYTES)
        throw new GitRefused(
          'repo_refused',
          `${host} lists more than ${MAX_BYTES} bytes of branches and tags.`,
        )
    }
  } catch (error) {
    if (error instanceof GitRefused) throw error
    throw new GitRefused(
      'host_unreachable',
      `The answer of ${host} was cut off: ${(error as Error).message}.`,
      {
        hint: 'Try again later.',
        cause: error,
      },
    )
  }
  return parse(Buffer.concat(chunks), host)
}

function parse(all: Buffer, host: string): Advertisement {
  const garbage = () =>
    new GitRefused('repo_refused', `The answer of ${host} is not a list of branches and tags.`, {
      hint: 'Check the address of the repository.',
    })
  const lines: [id: string, name: string][] = []
  let capabilities = ''
  let at = 0
  let isListed = false
  while (at < all.length) {
    const size = Number.parseInt(all.toString('latin1', at, at + 4), 16)
    if (Number.isNaN(size) || (size > 0 && size < 4) || at + size > all.length) throw garbage()
    const text = all.toString('utf8', at + 4, at + Math.max(size, 4)).replace(/\n$/, '')
    at += Math.max(size, 4)
    if (size === 0) {
      if (isListed) break
      continue
    }
    if (text.startsWith('# service=') || text.startsWith('version ')) continue
    isListed = true
    if (text.startsWith('ERR ')) throw new GitRefused('repo_not_found', `${host} says: ${text.slice(4, 300)}`)
    const [ref, rest] = text.split('\0') as [string, string?]
    if (rest !== undefined) capabilities = rest
    const [, id, name] = /^([0-9a-f]{40}|[0-9a-f]{64}) (\S+)$/.exec(ref) ?? []
    if (id !== undefined && name !== undefined) lines.push([id, name])
  }
  if (at === 0) throw garbage()
  return advertisementOf(lines, SYMREF.exec(capabilities)?.[1], capabilities.includes('object-format=sha256'))
}

/** Reads the same from the lines of `git ls-remote --symref`. */
export function readLsRemote(text: string): Advertisement {
  const found = /^ref: refs\/heads\/(\S+)\tHEAD$/m.exec(text)?.[1]
  const lines = text.split('\n').flatMap((line): [string, string][] => {
    const [id, name] = line.split('\t')
    return name !== undefined && /^[0-9a-f]+$/.test(id!) ? [[id!, name]] : []
  })
  return advertisementOf(lines, found, lines[0]?.[0].length === 64)
}

function advertisementOf(
  lines: readonly [id: string, name: string][],
  symref: string | undefined,
  isSha256: boolean,
): Advertisement {
  const refs = new Map<string, string>()
  let head: string | undefined
  for (const [id, name] of lines) {
    if (name === 'HEAD') head = id
    // An annotated tag comes first as itself, then as what it leads to.
    const bare = name.replace(/\^\{\}$/, '')
    if (/^refs\/(heads|tags)\//.test(bare)) refs.set(bare, id)
  }
  const branches = [...refs].filter(([name]) => name.startsWith('refs/heads/'))
  // An old server does not say which branch it is: the usual names come first.
  const same = branches.filter(([, id]) => id === head).map(([name]) => name.slice('refs/heads/'.length))
  const guessed = ['main', 'master'].find((name) => same.includes(name)) ?? same[0]
  const named = symref !== undefined && refs.has(`refs/heads/${symref}`) ? symref : undefined
  return { refs, defaultBranch: named ?? guessed, isSha256 }
}

/** Resolves a ref from a person to its commit and full name: a full name comes first, and a branch before a tag. */
export function findRef(
  { refs, defaultBranch }: Advertisement,
  ref: string | undefined,
): { name: string; sha: string } | undefined {
  const branch = ref ?? defaultBranch
  if (branch === undefined) return undefined
  for (const name of [branch, `refs/heads/${branch}`, `refs/tags/${branch}`]) {
    const sha = refs.get(name)
    if (sha !== undefined) return { name, sha }
  }
  return undefined
}
