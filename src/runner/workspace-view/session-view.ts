import { constants } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { ErrandError, isErrandError, messageOf } from '../../contract/errors.ts'
import {
  MOST_CHANGE_BYTES,
  MOST_SHOWN_BYTES,
  type WorkspaceChange,
  type WorkspaceFile,
  type WorkspaceFolder,
  type WorkspaceQuery,
} from '../../contract/runs/workspace-queries.ts'
import type { RunnerAnswer } from '../../contract/tasks/pool-ask.ts'
import { LeadsOut, openBeneath, withFolderBeneath } from '../../platform/beneath.ts'
import type { Masker } from '../masking/masker.ts'
import { type CarefulGit, repositoryOf } from './careful-git.ts'

/** Describes a session's folder, and how it is read. */
export interface ViewedFolder {
  cwd: string
  /** Commit at which the session found it, or an empty text if there was none; undefined outside a repository. */
  base: string | undefined
  git: CarefulGit
  masker: Masker | undefined
}

/** Limit for listed entries of a folder. */
const MOST_ENTRIES = 2_000
const MOST_COMMITS = 50
/** Limit for new files in a diff that Git does not know yet. */
const MOST_NEW = 1_000
/** Bytes beyond a cut; longer than any secret that is hidden as a whole, since the cut text may begin one. */
const BEYOND_BYTES = 16 * 1024
/** Id of the empty tree. */
const EMPTY_TREE = '4b825dc642cb6eb9a060e54bf8d69288fbee4904'

const shown = (masker: Masker | undefined, text: string): string => masker?.maskText(text) ?? text

/** Lists the entries of a folder, folders first. Throws like `seen`. */
export async function listFolder({ cwd, masker }: ViewedFolder, path: string): Promise<WorkspaceFolder> {
  return await seen(path, () =>
    withFolderBeneath(
      cwd,
      path,
      async (place) => {
        const found = await readdir(place, { withFileTypes: true })
        const kindOf = (entry: (typeof found)[0]) =>
          entry.isDirectory()
            ? ('folder' as const)
            : entry.isFile()
              ? ('file' as const)
              : entry.isSymbolicLink()
                ? ('link' as const)
                : ('other' as const)
        const all = found
          .map((entry) => ({ name: entry.name, kind: kindOf(entry) }))
          .sort((a, b) =>
            (a.kind === 'folder') === (b.kind === 'folder')
              ? a.name < b.name
                ? -1
                : 1
              : a.kind === 'folder'
                ? -1
                : 1,
          )
        const entries = await Promise.all(
          all.slice(0, MOST_ENTRIES).map(async ({ name, kind }) => {
            const bytes =
              kind === 'file' ? (await lstat(`${place}/${name}`).catch(() => undefined))?.size : undefined
            return { name: shown(masker, name), kind, ...(bytes !== undefined && { bytes }) }
          }),
        )
        return { path, entries, more: all.length > MOST_ENTRIES }
      },
      false,
    ),
  )
}

/** Returns the text of a file, up to the display limit. Throws like `seen`. */
export async function readTextFile({ cwd, masker }: ViewedFolder, path: string): Promise<WorkspaceFile> {
  return await seen(path, async () => {
    await using file = await openBeneath(cwd, path, constants.O_RDONLY)
    const bytes = (await file.stat()).size
    const begin = Buffer.alloc(Math.min(bytes, MOST_SHOWN_BYTES + BEYOND_BYTES))
    let length = 0
    while (length < begin.length) {
      const { bytesRead } = await file.read(begin, length, begin.length - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    const read = begin.subarray(0, length)
    if (read.subarray(0, 8192).includes(0)) return { path, bytes, binary: true, cut: false }
    const text = read.toString('utf8')
    // The end of a partial text may begin a secret.
    const isWhole = length >= bytes
    const masked = isWhole ? shown(masker, text) : (masker?.maskBeginning(text) ?? text)
    const cut = !isWhole || masked.length > MOST_SHOWN_BYTES
    return { path, bytes, binary: false, text: cut ? masked.slice(0, MOST_SHOWN_BYTES) : masked, cut }
  })
}

/** Reports whether there is anything to compare with, and the commits made since. */
export async function reportChange(viewed: ViewedFolder): Promise<WorkspaceChange> {
  const { cwd, base, masker } = viewed
  const folder = shown(masker, cwd)
  if (base === undefined || repositoryOf(cwd) === undefined) return { folder, repository: false, commits: [] }
  const commits = (await commitsOf(viewed)).map(({ sha, subject, author, at }) => ({
    ...{ sha, at },
    subject: shown(masker, subject),
    author: shown(masker, author),
  }))
  return { folder, repository: true, ...(base !== '' && { base }), commits }
}

/**
 * Returns the change of the session's folder as a diff, or that of one of its commits (from 1), with its secrets
 * hidden. Throws `not_found` for an unknown commit or if there is no repository, and `body_too_large`.
 */
export async function readChange(viewed: ViewedFolder, commit?: number): Promise<string> {
  const { cwd, base, git, masker } = viewed
  const root = repositoryOf(cwd)
  if (base === undefined || root === undefined)
    throw new ErrandError('not_found', 'The folder of the session is not in a Git repository.', {
      hint: 'You can still view its files.',
    })
  const place = { cwd, root }
  const plain = [
    '--no-ext-diff',
    '--no-textconv',
    '--no-color',
    '--find-renames',
    '--relative',
    '--src-prefix=a/',
    '--dst-prefix=b/',
  ]
  try {
    if (commit !== undefined) {
      const sha = (await commitsOf(viewed))[commit - 1]?.sha
      if (sha === undefined)
        throw new ErrandError('not_found', `The session has no commit ${commit}.`, {
          hint: 'Commits are counted from 1, the oldest first.',
        })
      return bounded(shown(masker, await git.run(place, ['show', '--format=', ...plain, sha, '--', '.'])))
    }
    const known = await git.run(place, ['diff', ...plain, base === '' ? EMPTY_TREE : base, '--', '.'])
    const listed = await git.run(place, ['ls-files', '--others', '--exclude-standard', '-z', '--', '.'])
    const others = listed.split('\0').filter((path) => path !== '')
    const parts = [known]
    let length = known.length
    for (const path of others.slice(0, MOST_NEW)) {
      const part = await addedFile(cwd, path)
      length += part.length
      if (length > MOST_CHANGE_BYTES) throw tooLarge()
      parts.push(part)
    }
    return bounded(shown(masker, parts.join('')))
  } catch (error) {
    if (isErrandError(error)) throw error
    if ((error as { code?: string }).code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') throw tooLarge()
    throw new ErrandError('unavailable', `git could not compare the session's folder: ${firstLine(error)}`, {
      hint: 'It may be in the middle of an operation: try again.',
    })
  }
}

const firstLine = (error: unknown): string =>
  String((error as { stderr?: string }).stderr ?? messageOf(error))
    .trim()
    .split('\n')[0]!
    .slice(0, 300)

function bounded(text: string): string {
  if (text.length > MOST_CHANGE_BYTES) throw tooLarge()
  return text
}

const tooLarge = (): ErrandError =>
  new ErrandError(
    'body_too_large',
    `The change is larger than ${MOST_CHANGE_BYTES / 1024 ** 2} MiB, the largest size that is shown.`,
    { hint: 'Look at single commits, or at the folder on its machine.' },
  )

async function commitsOf({ cwd, base, git }: ViewedFolder) {
  const root = repositoryOf(cwd)!
  const since = base === '' ? 'HEAD' : `${base}..HEAD`
  const log = [
    'log',
    '--reverse',
    '--first-parent',
    '-z',
    '--format=%H%x01%aI%x01%an%x01%s',
    since,
    '--',
    '.',
  ]
  // Without any commit there is no HEAD.
  const text = await git.run({ cwd, root }, log).catch(() => '')
  return text
    .split('\0')
    .filter((line) => line.includes('\x01'))
    .slice(0, MOST_COMMITS)
    .map((line) => {
      const [sha = '', at = '', author = '', subject = ''] = line.split('\x01')
      return { sha, at, author: author.slice(0, 200), subject: subject.slice(0, 500) }
    })
}

/**
 * Runs `read`. Throws `not_found` for what does not exist, `forbidden` for what leads out of the folder or may not be
 * read.
 */
async function seen<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (isErrandError(error)) throw error
    const { code } = error as NodeJS.ErrnoException
    if (error instanceof LeadsOut)
      throw new ErrandError('forbidden', `"${path}" is not shown: ${error.message}.`, {
        hint: "Only files and folders in the session's folder are shown, and no links.",
      })
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG')
      throw new ErrandError('not_found', `"${path}" does not exist in the folder of the session.`, {
        hint: 'The agent may have removed it: list the folder again.',
      })
    if (code === 'EACCES' || code === 'EPERM')
      throw new ErrandError('forbidden', `The runner may not read "${path}".`, {
        hint: 'Its mode denies access to others: ask the agent to show it.',
      })
    throw error
  }
}

/** Answers a query of the hub. `send` sends the body of a `read_change`. Throws the error to report to the hub. */
export async function answerQuery(
  ask: WorkspaceQuery,
  viewed: ViewedFolder,
  send: (text: string) => Promise<void>,
): Promise<RunnerAnswer> {
  switch (ask.what) {
    case 'list_folder':
      return { exists: true, folder: await listFolder(viewed, ask.path) }
    case 'read_file':
      return { exists: true, file: await readTextFile(viewed, ask.path) }
    case 'tell_change':
      return { exists: true, change: await reportChange(viewed) }
    case 'read_change':
      await send(await readChange(viewed, ask.commit))
      return { exists: true }
  }
}

/** Limit in bytes; a larger new file is reported as binary. */
const MOST_NEW_BYTES = 2 * 1024 * 1024

/** Formats a new file like `git diff`, which omits files that Git does not know. Skips what cannot be read. */
async function addedFile(folder: string, path: string): Promise<string> {
  const head = (mode: string) =>
    `diff --git ${quoted('a', path)} ${quoted('b', path)}\nnew file mode ${mode}\n`
  const binary = (mode: string) => `${head(mode)}Binary files /dev/null and ${quoted('b', path)} differ\n`
  try {
    await using file = await openBeneath(folder, path, constants.O_RDONLY)
    const { size, mode: bits } = await file.stat()
    const mode = (bits & 0o111) === 0 ? '100644' : '100755'
    if (size > MOST_NEW_BYTES) return binary(mode)
    const bytes = await file.readFile()
    if (bytes.subarray(0, 8000).includes(0)) return binary(mode)
    const text = bytes.toString('utf8')
    if (text === '') return head(mode)
    const isEnded = text.endsWith('\n')
    const lines = (isEnded ? text.slice(0, -1) : text).split('\n')
    const range = lines.length === 1 ? '+1' : `+1,${lines.length}`
    const tail = isEnded ? '' : '\\ No newline at end of file\n'
    return `${head(mode)}--- /dev/null\n+++ ${quoted('b', path)}\n@@ -0,0 ${range} @@\n${lines.map((line) => `+${line}\n`).join('')}${tail}`
  } catch {
    return ''
  }
}

/** Formats a name like Git: in quotes, with octal escapes for special characters. */
function quoted(side: 'a' | 'b', path: string): string {
  const name = `${side}/${path}`
  if (/^[\x20-\x7e]*$/.test(name) && !/["\\]/.test(name)) return name
  const bytes = [...Buffer.from(name)].map((byte) => {
    if (byte === 0x22 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`
    return byte < 0x20 || byte > 0x7e ? `\\${byte.toString(8).padStart(3, '0')}` : String.fromCharCode(byte)
  })
  return `"${bytes.join('')}"`
}
