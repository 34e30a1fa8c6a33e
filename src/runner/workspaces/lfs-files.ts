import { createHash } from 'node:crypto'
import { copyFileSync, createWriteStream, lstatSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import * as z from 'zod'
import { messageOf } from '../../contract/errors.ts'
import { type GitOptions, git } from '../git/git-program.ts'
import { basicAuthorization } from '../git/git-server.ts'
import { type GitReason, GitRefused, hintOf } from '../git/git-words.ts'
import { mayBePointer, pointersIn } from '../git/lfs-pointer.ts'

/** Describes a checkout of ours that nobody has worked in yet. */
export interface LfsAsk {
  own_git: string
  work: string
  /** Address of the repository, without credentials. */
  identity: string
  token?: string
  username?: string
}

export interface LfsContext {
  /** Fetch that reaches only what Git may reach on this machine. */
  fetch: typeof globalThis.fetch
  /** Folder of ours for Git's home. */
  home: string
  maxBytes: number
  signal: AbortSignal
  report(message: string): void
}

interface Pointer {
  path: string
  oid: string
  size: number
}

const MOST_FILES = 10_000
const AT_A_TIME = 100
const MEDIA_TYPE = 'application/vnd.git-lfs+json'
const MAX_ANSWER_BYTES = 16 * 1024 ** 2

const Answer = z.object({
  objects: z.array(
    z.object({
      oid: z.string(),
      error: z.object({ code: z.number().optional(), message: z.string().optional() }).optional(),
      actions: z
        .object({
          download: z
            .object({ href: z.string(), header: z.record(z.string(), z.string()).optional() })
            .optional(),
        })
        .optional(),
    }),
  ),
})

/**
 * Replaces pointers with the files of Git LFS, through the server's batch interface; each is checked by its size and
 * SHA-256. The user's repository sees them as unchanged from the commit. Throws `GitRefused`.
 */
export async function placeLfsFiles(ask: LfsAsk, context: LfsContext): Promise<void> {
  const pointers = await findPointers(ask, context)
  if (pointers.length === 0) return
  const bytes = pointers.reduce((sum, { size }) => sum + size, 0)
  if (pointers.length > MOST_FILES || bytes > context.maxBytes)
    throw new GitRefused(
      'workspace',
      `Git LFS has ${pointers.length} files with ${bytes} bytes, which is too much.`,
      {
        hint: 'Do without lfs: true, and let the setup of the playbook fetch the files that are needed.',
      },
    )
  if (!/^https?:/i.test(ask.identity))
    throw new GitRefused('workspace', 'Git LFS files are fetched only over HTTP and HTTPS.', {
      hint: 'Use an https:// address for the repository, or do without lfs: true.',
    })
  context.report(`Fetching ${pointers.length} Git LFS files (${bytes} bytes).`)
  const base = ask.identity.endsWith('.git') ? ask.identity : `${ask.identity}.git`
  const own = { ...ask, base }
  for (let at = 0; at < pointers.length; at += AT_A_TIME)
    await fetchSome(pointers.slice(at, at + AT_A_TIME), own, context)
  // Whoever works there commits the pointers unchanged.
  const theirs = { ...gitOptions(join(ask.work, '.git'), context), workTree: ask.work }
  const input = pointers.map(({ path }) => `${path}\0`).join('')
  await git(['update-index', '--skip-worktree', '-z', '--stdin'], { ...theirs, input }, text)
}

async function findPointers({ own_git, work }: LfsAsk, context: LfsContext): Promise<Pointer[]> {
  const options = gitOptions(own_git, context)
  const listed = await git(['ls-tree', '-r', '-l', '-z', 'HEAD'], options, text)
  const small = listed.split('\0').flatMap((line) => {
    const [, id, size, path] = /^100\d{3} blob ([0-9a-f]+) +(\d+)\t([\s\S]+)$/.exec(line) ?? []
    return id === undefined || path === undefined || !mayBePointer(Number(size)) ? [] : [{ id, path }]
  })
  if (small.length === 0) return []
  const query = { ...options, workTree: work, input: small.map(({ path }) => `${path}\0`).join('') }
  const attributes = (await git(['check-attr', '-z', '--stdin', 'filter'], query, text)).split('\0')
  const stored = new Set<string>()
  for (let at = 0; at + 2 < attributes.length; at += 3)
    if (attributes[at + 2] === 'lfs') stored.add(attributes[at]!)
  const those = small.filter(({ path }) => stored.has(path))
  if (those.length === 0) return []
  const input = those.map(({ id }) => `${id}\n`).join('')
  const pointers = pointersIn(await git(['cat-file', '--batch'], { ...options, input }, buffer))
  return those.flatMap(({ id, path }) => {
    const pointer = pointers.get(id)
    return pointer === undefined ? [] : [{ path, ...pointer }]
  })
}

async function fetchSome(
  pointers: readonly Pointer[],
  { base, work, token, username }: LfsAsk & { base: string },
  context: LfsContext,
): Promise<void> {
  const { home, signal } = context
  const authorization = token === undefined ? undefined : basicAuthorization({ username, password: token })
  const objects = [...new Map(pointers.map(({ oid, size }) => [oid, { oid, size }])).values()]
  const batch = `${base}/info/lfs/objects/batch`
  const answer = await request(context, batch, {
    method: 'POST',
    headers: { accept: MEDIA_TYPE, 'content-type': MEDIA_TYPE, ...(authorization && { authorization }) },
    body: JSON.stringify({ operation: 'download', transfers: ['basic'], objects, hash_algo: 'sha256' }),
    signal,
  })
  const found = new Map((await readAnswer(answer, batch, signal)).objects.map((each) => [each.oid, each]))
  for (const { oid, size } of objects) {
    const { path } = pointers.find((each) => each.oid === oid)!
    const { actions, error } = found.get(oid) ?? {}
    const href = actions?.download?.href
    if (href === undefined || !URL.canParse(href)) {
      const why = error?.message ?? 'the server has no address for it'
      throw new GitRefused(
        'base_missing',
        `The Git LFS file ${JSON.stringify(path)} cannot be fetched: ${why.slice(0, 300)}.`,
        {
          hint: 'Push it with git lfs push, or do without lfs: true.',
        },
      )
    }
    // The repository's own token is for addresses below it.
    const own = href.startsWith(`${base}/`) && authorization !== undefined ? { authorization } : {}
    const headers = { ...own, ...actions?.download?.header }
    const file = join(home, 'lfs-object')
    const pointer = { file, oid, size, path }
    await download(await request(context, href, { headers, signal }), pointer).catch(brokenOff(href, signal))
    for (const each of pointers)
      if (each.oid === oid) {
        const to = join(work, each.path)
        if (!lstatSync(to).isFile())
          throw new GitRefused('workspace', `${JSON.stringify(each.path)} is not a file.`)
        copyFileSync(file, to)
      }
    rmSync(file, { force: true })
  }
}

const reasons: Readonly<Record<number, GitReason>> = {
  401: 'repo_auth',
  403: 'repo_auth',
  404: 'repo_not_found',
  410: 'repo_not_found',
}

async function request({ fetch, signal }: LfsContext, url: string, init: RequestInit): Promise<Response> {
  const host = new URL(url).host
  const answer = await fetch(url, init).catch((error: unknown) => {
    signal.throwIfAborted()
    if (!(error instanceof TypeError)) {
      const { message, hint } = error as GitRefused
      throw new GitRefused('repo_refused', `Git LFS at ${host}: ${message}`, { hint, cause: error })
    }
    const cause = error.cause instanceof Error ? error.cause.message : error.message
    throw new GitRefused('host_unreachable', `Git LFS at ${host} does not answer: ${cause}.`, {
      cause: error,
    })
  })
  if (answer.ok) return answer
  await answer.body?.cancel()
  const reason = reasons[answer.status] ?? 'host_unreachable'
  throw new GitRefused(reason, `Git LFS at ${host} answered ${answer.status}.`, {
    hint: hintOf(reason, host),
  })
}

/** Rethrows an error that broke off an answer, with the name of the server. */
const brokenOff =
  (url: string, signal: AbortSignal) =>
  (error: unknown): never => {
    signal.throwIfAborted()
    // A full disk is not the server's fault.
    const { syscall } = error as NodeJS.ErrnoException
    if (error instanceof GitRefused || syscall === 'write' || syscall === 'open') throw error
    const { host } = new URL(url)
    throw new GitRefused(
      'host_unreachable',
      `The answer of Git LFS at ${host} was cut off: ${messageOf(error)}.`,
      {
        cause: error,
      },
    )
  }

async function readAnswer(
  answer: Response,
  url: string,
  signal: AbortSignal,
): Promise<z.infer<typeof Answer>> {
  const bytes = await limited(answer, MAX_ANSWER_BYTES).catch(brokenOff(url, signal))
  try {
    return Answer.parse(JSON.parse(bytes.toString()))
  } catch (cause) {
    const { host } = new URL(url)
    throw new GitRefused('host_unreachable', `The answer of Git LFS at ${host} cannot be read.`, { cause })
  }
}

async function limited(answer: Response, most: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of Readable.fromWeb(answer.body as never)) {
    bytes += (part as Buffer).length
    if (bytes > most)
      throw new GitRefused('host_unreachable', 'The answer of the Git LFS server is too long.')
    parts.push(Buffer.from(part as Buffer))
  }
  return Buffer.concat(parts)
}

async function download(
  answer: Response,
  { file, oid, size, path }: { file: string; oid: string; size: number; path: string },
): Promise<void> {
  const hash = createHash('sha256')
  let bytes = 0
  const wrong = (why: string) =>
    new GitRefused(
      'base_missing',
      `The Git LFS file ${JSON.stringify(path)} does not match its pointer: ${why}.`,
      {
        hint: 'Push it again with git lfs push.',
      },
    )
  const measured = new Transform({
    transform(part: Buffer, _encoding, done) {
      bytes += part.length
      hash.update(part)
      done(bytes > size ? wrong(`it has more than ${size} bytes`) : null, part)
    },
  })
  if (answer.body === null) throw wrong('it is empty')
  await pipeline(Readable.fromWeb(answer.body as never), measured, createWriteStream(file, { mode: 0o600 }))
  if (bytes !== size) throw wrong(`it has ${bytes} bytes instead of ${size}`)
  if (hash.digest('hex') !== oid) throw wrong('its SHA-256 is different')
}

const gitOptions = (folder: string, { signal, maxBytes }: LfsContext): GitOptions => ({
  ...{ folder, signal, maxFileBytes: maxBytes, config: [], env: { GIT_ALLOW_PROTOCOL: 'none' } },
})
