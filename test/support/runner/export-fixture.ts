import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import {
  type ExportArgs,
  type ExportedChange,
  type ExportOptions,
  exportChange,
} from '../../../src/runner/change-export/export-change.ts'
import { KnownSecrets } from '../../../src/runner/masking/known-secrets.ts'
import type { BoxedCommand, BoxedEnd } from '../../../src/runner/platform-steps/platform-step.ts'
import { makeRepository, run, type TreeEntry } from '../sources/git-fixture.ts'

/** A checkout as the pool hands it out: a mirror, our repository of it, and a folder with the agent's own. */
export interface ExportFixture extends Disposable {
  dir: string
  mirror: string
  own_git: string
  work: string
  start: string
  /** Runs git as the agent does. */
  git(...args: string[]): string
  write(path: string, content: string): void
  /** The artifacts that the last export saved: bytes by name. */
  kept: Map<string, Buffer>
  /** Everything that the last export reported. */
  reported: string[]
  exportChange(
    args?: Partial<ExportArgs>,
    more?: Partial<Omit<ExportOptions, 'secrets'>> & { secrets?: Record<string, string> },
  ): Promise<ExportedChange>
  /** Returns a file of the exported commit. */
  file(tip: string, path: string): string
  list(): { history: string; files: Record<string, unknown>[] }
}

export const exportArgs = (start: string): ExportArgs => ({
  start,
  below: '',
  commits: 'keep',
  message: 'Do it',
  author: 'Agent <agent@example.org>',
  committer: 'Errand <errand@localhost>',
  trailers: { 'Errand-Run': 'run_1', 'Errand-Task': 'task_1' },
  date: 1_700_000_000,
  protect: [],
  mended: false,
  max_file_bytes: 50 * 1024 ** 2,
  max_bytes: 1024 ** 3,
})

/** Runs a command of a step directly on this machine. */
export const onMachine =
  (work: string, reported: string[] = []) =>
  async ({ argv, stdout }: BoxedCommand): Promise<BoxedEnd> => {
    const out = stdout === 'log' ? 'ignore' : openSync(stdout.file, 'w')
    const [program, ...args] = argv
    const env = { PATH: process.env.PATH, HOME: dirname(work) }
    const ended = spawnSync(program!, args, { cwd: work, env, stdio: ['ignore', out, 'pipe'] })
    reported.push(ended.stderr.toString())
    return ended.signal ? { type: 'signaled', signal: ended.signal } : { type: 'exited', code: ended.status! }
  }

export function exportFixture(
  entries: readonly TreeEntry[] = [
    { path: 'README.md', content: 'hello\n' },
    { path: 'src/a.txt', content: 'one\ntwo\n' },
  ],
): ExportFixture {
  const dir = mkdtempSync(join(tmpdir(), 'errand-export-'))
  const mirror = join(dir, 'mirror.git')
  const own_git = join(dir, 'own.git')
  const work = join(dir, 'work')
  const start = makeRepository(mirror, entries)
  const borrow = (git: string) => writeFileSync(join(git, 'objects/info/alternates'), `${mirror}/objects\n`)
  run(dir, ['init', '--quiet', '--bare', own_git])
  borrow(own_git)
  run(own_git, ['update-ref', '--no-deref', 'HEAD', start])
  run(dir, ['init', '--quiet', '--initial-branch=task', work])
  borrow(join(work, '.git'))
  run(work, ['reset', '--hard', '--quiet', start])
  const stored = new Map<string, Buffer>()
  const reported: string[] = []
  const git = (...args: string[]) => run(work, args)
  return {
    ...{ dir, mirror, own_git, work, start, git, kept: stored, reported },
    write(path, content) {
      mkdirSync(dirname(join(work, path)), { recursive: true })
      writeFileSync(join(work, path), content)
    },
    async exportChange(args = {}, { secrets = {}, ...more } = {}) {
      stored.clear()
      reported.length = 0
      return await exportChange(
        { ...exportArgs(start), ...args },
        {
          ...{ own_git, mirror, folder: join(dir, 'attempt') },
          signal: new AbortController().signal,
          boxed: onMachine(work, reported),
          secrets: new KnownSecrets(Object.entries(secrets).map(([name, value]) => ({ name, value }))),
          keep: async ({ name, file }) => void stored.set(name, readFileSync(file)),
          phase: () => undefined,
          report: (message) => void reported.push(message),
          ...more,
        },
      )
    },
    file: (tip, path) => run(own_git, ['show', `${tip}:${path}`]),
    list: () => JSON.parse(stored.get('files.json')!.toString()),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  }
}

/** A box that returns a pack chosen by the test: `all` and what it reaches, from that repository. */
export const hostileBox =
  (
    repository: string,
    ids: { head: string; tree: string; all: string },
    input: string,
    change = (pack: Buffer) => pack,
  ) =>
  async ({ stdout }: BoxedCommand): Promise<BoxedEnd> => {
    const packed = spawnSync('git', ['pack-objects', '--revs', '--stdout', '-q'], {
      cwd: repository,
      input,
      maxBuffer: 1024 ** 3,
    })
    const header = Buffer.from(`${ids.head} ${ids.tree} ${ids.all}\n`)
    if (stdout !== 'log') writeFileSync(stdout.file, Buffer.concat([header, change(packed.stdout)]))
    return { type: 'exited', code: 0 }
  }

/** Creates a scratch repository that borrows the start, for objects that no usual command creates. */
export function forge(place: ExportFixture): {
  folder: string
  commit(tree: string, parents?: string[]): string
} {
  const folder = join(place.dir, 'forge.git')
  run(place.dir, ['init', '--quiet', '--bare', folder])
  writeFileSync(join(folder, 'objects/info/alternates'), `${place.mirror}/objects\n`)
  copyFileSync(join(place.mirror, 'HEAD'), join(folder, 'HEAD'))
  return {
    folder,
    commit: (tree, parents = [place.start]) =>
      run(folder, ['commit-tree', tree, ...parents.flatMap((each) => ['-p', each]), '-m', 'x']),
  }
}
