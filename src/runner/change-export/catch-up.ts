import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SNAPSHOT_REF } from '../../contract/tasks/actions.ts'
import { KnownSecrets } from '../masking/known-secrets.ts'
import { type PlatformContext, StepFailure } from '../platform-steps/platform-step.ts'
import { copyEdge } from '../workspaces/edge.ts'
import { EXPORTED_REF } from './export-change.ts'
import { judgeChange, named } from './judge-change.ts'
import { OurRepository } from './our-repository.ts'
import { type ProtectRule, pathKind } from './protected-paths.ts'
import { replay } from './replay.ts'

/** Describes commits to push, and what somebody else has pushed meanwhile. */
export interface CatchUpAsk {
  start: string
  tip: string
  /** Commit of somebody else, which the run's repositories have. */
  onto: string
  how: 'rebase' | 'merge'
  /** Text that says who has moved what. */
  moved: string
  retest: 'touched' | 'always' | 'never'
  conflicts: 'fail' | 'agent'
  protect: readonly ProtectRule[]
  maxBytes: number
}

export type CaughtUp =
  /** The commits are on `onto` now. `needsTest`: nobody has tested this state, which the workspace has too. */
  | { type: 'done'; tip: string; needsTest: boolean }
  /** The workspace has both sides between conflict markers, for an agent to resolve. */
  | { type: 'conflict'; files: readonly string[] }

/**
 * Puts the commits onto what somebody else has pushed, in our repository of the run, and stores evidence of the result.
 * Throws `StepFailure`: `conflict` with each file, if no agent is to resolve it.
 */
export async function catchUp(ask: CatchUpAsk, own_git: string, context: PlatformContext): Promise<CaughtUp> {
  const { start, tip, onto, how, moved, maxBytes } = ask
  const { signal } = context
  const repository = new OurRepository({ folder: own_git, signal, maxFileBytes: maxBytes })
  const folder = join(context.folder, 'catch-up')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  try {
    context.phase('catch_up', `${moved}: combining the change with ${onto}.`)
    const message = `Merge ${onto.slice(0, 12)}: ${moved}`
    const replayed = await replay(repository, {
      start,
      tip,
      onto,
      how,
      message,
      scratch: join(folder, 'commits'),
    })
    if (replayed.type === 'conflict') {
      const { files, says, tree } = replayed
      for (const line of says) context.write('stderr', `${line}\n`)
      if (ask.conflicts === 'fail') throw conflict(moved, files)
      await putInWorkspace({ repository, folder, start, head: onto, tree }, context)
      return { type: 'conflict', files }
    }
    if (replayed.tip === onto) return { type: 'done', tip: onto, needsTest: false }
    const needsTest = await mustBeTested(repository, ask)
    await keepEvidence(repository, { ...ask, tip: replayed.tip, folder }, context)
    await repository.text(['update-ref', '--no-deref', EXPORTED_REF, replayed.tip])
    if (needsTest) await putInWorkspace({ repository, folder, start, head: replayed.tip }, context)
    return { type: 'done', tip: replayed.tip, needsTest }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const conflict = (moved: string, files: readonly string[]) =>
  new StepFailure(
    'conflict',
    `${moved}, and the change now conflicts in ${named(files)}.`,
    'Try the task again from the start, or write conflicts: agent to have an agent resolve them. The change is saved as an artifact.',
  )

/** Reports whether others have changed what the change touches, or what tests it. */
async function mustBeTested(
  repository: OurRepository,
  { start, tip, onto, retest }: CatchUpAsk,
): Promise<boolean> {
  if (retest !== 'touched') return retest === 'always'
  const pathsOf = async (to: string) => {
    const paths = new Set<string>()
    await repository.records(
      ['diff-tree', '-r', '-z', '--name-only', '--no-renames', '--no-commit-id', start, to],
      (path) => void paths.add(path),
    )
    return paths
  }
  const [own, theirs] = [await pathsOf(tip), await pathsOf(onto)]
  return [...theirs].some((path) => own.has(path) || pathKind(path) === 'test')
}

async function keepEvidence(
  repository: OurRepository,
  { onto, tip, protect, folder }: CatchUpAsk & { folder: string },
  context: PlatformContext,
): Promise<void> {
  const own = await repository.text(['rev-list', '--topo-order', '--reverse', `${onto}..${tip}`])
  const change = {
    ...{ start: onto, tip, own: own.split('\n'), history: 'caught_up' as const },
    ...{ protect, folder: join(folder, 'evidence') },
  }
  await judgeChange(repository, change, {
    secrets: new KnownSecrets(context.secrets),
    keep: (keepable) => context.keep(keepable),
    phase: (name) => context.phase(name),
    report: (message) => context.write('stderr', `${message}\n`),
  })
}

/**
 * Describes files of a commit of ours for the workspace of a run, whose repository is under the agent's control by now.
 */
interface ForWorkspace {
  repository: OurRepository
  /** Folder of ours. */
  folder: string
  /** Commit that the workspace has. */
  start: string
  /** Commit that it is at afterwards. */
  head: string
  /** Tree with the files, if they are not those of `head`. */
  tree?: string
}

const LIMIT_MS = 10 * 60_000
/** Script that leaves files unknown to Git in place, such as installed ones. */
const PUT = `
set -eu
head=$1 files=$2 pack=$3 snapshot=$4 edge=$5
export LC_ALL=C GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=none
ours() { git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c advice.detachedHead=false "$@"; }
rm -f .git/index.lock .git/HEAD.lock
[ "$edge" = "" ] || cp -- "$edge" .git/shallow
ours index-pack --stdin --fix-thin <"$pack" >/dev/null
ours checkout -q --force --detach "$head" --
[ "$files" = "$head" ] || ours read-tree -u --reset "$files"
ours update-ref "$snapshot" "$files"
`

/** Puts the files there, in the box. Throws `StepFailure`. */
async function putInWorkspace(
  { repository, folder, start, head, tree }: ForWorkspace,
  context: PlatformContext,
): Promise<void> {
  const pack = join(folder, 'workspace.pack')
  const files = tree ?? head
  const args = ['pack-objects', '--revs', '--thin', '--stdout', '-q', '--delta-base-offset']
  await repository.toFile(args, pack, `${head}\n${files}\n^${start}\n`)
  const edge = join(folder, 'shallow')
  copyEdge(repository.folder, folder)
  const hasEdge = existsSync(edge)
  const ended = await context.boxed({
    argv: ['/bin/sh', '-c', PUT, 'sh', head, files, pack, SNAPSHOT_REF, hasEdge ? edge : ''],
    stdout: 'log',
    timeout_ms: LIMIT_MS,
    offline: true,
    readable: hasEdge ? [pack, edge] : [pack],
  })
  if (ended.type === 'exited' && ended.code === 0) return
  throw new StepFailure(
    'workspace',
    'The commits that others have pushed could not be put into the workspace: the output says why.',
    'Try the task again. The change is saved as an artifact.',
  )
}
