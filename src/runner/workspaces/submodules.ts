import { lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type GitOptions, git } from '../git/git-program.ts'
import { GitRefused } from '../git/git-words.ts'
import { type GitPolicy, openRemote, type Remote } from '../git/remote.ts'
import type { PoolCredential } from './lease.ts'
import { gitConfig } from './mirrors.ts'

/** Describes a checkout of ours that nobody has worked in yet. */
export interface SubmodulesAsk {
  /** Repository of the checkout, or a copy of it, with the commit. */
  folder: string
  commit: string
  /** Address of the repository, to which relative ones refer. */
  identity: string
  /** Folder of the files. */
  work: string
}

export interface SubmodulesContext {
  policy: GitPolicy
  /** Credential, used only for repositories of the same server and owner. */
  credential: PoolCredential
  /** Folder of ours for Git's home. */
  home: string
  maxBytes: number
  signal: AbortSignal
  report(message: string): void
  /** Calls `use` with the copy of a repository that has that commit; the copy stays meanwhile. */
  withMirror(
    remote: Remote,
    of: { sha: string; scope: string },
    use: (mirror: { path: string; isSha256: boolean }) => Promise<void>,
  ): Promise<void>
}

interface Submodule {
  path: string
  sha: string
  url?: string
}

const MOST = 100
const DEEPEST = 5

/**
 * Puts the files of each submodule into a checkout, also recursively, with a repository that has only that one commit.
 * Each address must satisfy the policy; no other server or owner gets the credential. Throws `GitRefused` with the
 * submodule's name.
 */
export async function placeSubmodules(ask: SubmodulesAsk, context: SubmodulesContext): Promise<void> {
  const { policy } = context
  let count = 0
  const place = async (of: SubmodulesAsk, name: string, depth: number): Promise<void> => {
    for (const { path, sha, url } of await listSubmodules(of, context)) {
      const shown = JSON.stringify(name + path)
      if (url === undefined) {
        context.report(`The submodule ${shown} has no address in .gitmodules: it stays empty.`)
        continue
      }
      if (depth > DEEPEST || ++count > MOST)
        throw new GitRefused(
          'workspace',
          `There are more than ${MOST} submodules, or they are nested more than ${DEEPEST} levels deep.`,
          {
            hint: 'Do without submodules: true, and let the setup of the playbook fetch those that are needed.',
          },
        )
      context.report(`Fetching the submodule ${shown}.`)
      try {
        const address = addressOf(url, of.identity)
        const isSame = sameOwner(address, ask.identity)
        if (!isSame && isSsh(address))
          throw new GitRefused('repo_refused', 'it uses SSH, but belongs to another server or owner.', {
            hint: "The runner's key is only for the server and owner of the repository itself.",
          })
        const { token, username, scope } = isSame ? context.credential : { scope: 'none' }
        const { home: folder, signal } = context
        const remote = await openRemote({ url: address, token, username }, { policy, folder, signal })
        const work = join(of.work, path)
        await context.withMirror(remote, { sha, scope }, async (mirror) => {
          await fill({ mirror, sha, url: remote.identity, work }, context)
          const inner = { folder: mirror.path, commit: sha, identity: remote.identity, work }
          await place(inner, `${name}${path}/`, depth + 1)
        })
      } catch (error) {
        if (!(error instanceof GitRefused) || error.message.startsWith('The submodule')) throw error
        const { reason, hint, message } = error
        throw new GitRefused(reason, `The submodule ${shown}: ${message}`, { hint, cause: error })
      }
    }
  }
  await place(ask, '', 1)
}

async function listSubmodules(
  { folder, commit }: SubmodulesAsk,
  context: SubmodulesContext,
): Promise<Submodule[]> {
  const options = gitOptions(folder, context)
  const listed = await git(['ls-tree', '-r', '-z', commit], options, text)
  const links = listed.split('\0').flatMap((line) => {
    const [, sha, path] = /^160000 commit ([0-9a-f]+)\t([\s\S]+)$/.exec(line) ?? []
    return sha === undefined || path === undefined ? [] : [{ path, sha }]
  })
  if (links.length === 0) return []
  const args = [
    'config',
    '--blob',
    `${commit}:.gitmodules`,
    '-z',
    '--get-regexp',
    '^submodule\\..*\\.(path|url)$',
  ]
  const output = await git(args, options, text).catch(() => '')
  context.signal.throwIfAborted()
  const named = new Map<string, { path?: string; url?: string }>()
  for (const entry of output.split('\0')) {
    const [, name, key, value] = /^submodule\.([\s\S]*)\.(path|url)\n([\s\S]*)$/.exec(entry) ?? []
    if (name !== undefined) named.set(name, { ...named.get(name), [key!]: value })
  }
  const urls = new Map([...named.values()].map(({ path, url }) => [path, url]))
  return links.map((link) => ({ ...link, url: urls.get(link.path) }))
}

/** Resolves an address; `./` and `../` are relative to the repository that it is a submodule of. */
function addressOf(url: string, of: string): string {
  if (!/^\.\.?\//.test(url)) return url
  const found = URL.parse(url, `${of}/`)
  if (found === null) throw new GitRefused('repo_refused', `its address ${JSON.stringify(url)} is not valid.`)
  return found.href
}

const isSsh = (address: string): boolean => /^ssh:/i.test(address) || !/^[a-z]+:\/\//i.test(address)

/** Reports whether a credential for one address is meant for the other. */
function sameOwner(address: string, other: string): boolean {
  const [one, two] = [address, other].map((each) => URL.parse(each))
  if (!one || !two || one.protocol !== two.protocol || one.host !== two.host) return false
  const [owner, of] = [one, two].map(({ pathname }) => pathname.split('/')[1])
  return owner !== '' && owner === of && one.pathname.split('/').length > 2
}

/** Puts the files of the commit there, with a repository that has nothing else. */
async function fill(
  {
    mirror,
    sha,
    url,
    work,
  }: { mirror: { path: string; isSha256: boolean }; sha: string; url: string; work: string },
  context: SubmodulesContext,
): Promise<void> {
  // Git itself has just created it, and nobody else was there.
  if (!lstatSync(work).isDirectory() || readdirSync(work).length > 0)
    throw new GitRefused('workspace', 'its folder is not empty.')
  const folder = join(work, '.git')
  for (const name of ['objects/pack', 'objects/info', 'refs/heads', 'refs/tags', 'info'])
    mkdirSync(join(folder, name), { recursive: true })
  const quoted = url.replace(/["\\]/g, '\\$&')
  const origin = ['[remote "origin"]', `\turl = "${quoted}"`, '\tfetch = +refs/heads/*:refs/remotes/origin/*']
  const user = ['[user]', '\tname = Errand', '\temail = errand@localhost']
  writeFileSync(
    join(folder, 'config'),
    gitConfig({ bare: false, isSha256: mirror.isSha256 }, [...origin, ...user]),
  )
  writeFileSync(join(folder, 'HEAD'), `${sha}\n`)
  writeFileSync(join(folder, 'shallow'), `${sha}\n`)
  const all = ['pack-objects', '--revs', '-q', join(folder, 'objects/pack/pack')]
  await git(all, { ...gitOptions(mirror.path, context), input: `--shallow ${sha}\n${sha}\n` }, text)
  const own = { ...gitOptions(folder, context), workTree: work, config: ['core.symlinks=true'] }
  await git(['reset', '--hard', '--quiet', sha], own, text)
}

const gitOptions = (folder: string, { maxBytes, signal }: SubmodulesContext): GitOptions => ({
  ...{ folder, signal, maxFileBytes: maxBytes },
  config: ['submodule.recurse=false'],
  env: { GIT_ALLOW_PROTOCOL: 'none' },
})
