import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type * as z from 'zod'
import type { GitCarryArgs } from '../../contract/tasks/actions.ts'
import { GitFailure } from '../git/git-program.ts'
import { reasonOfWords } from '../git/git-words.ts'
import { KnownSecrets } from '../masking/known-secrets.ts'
import { type PlatformContext, type PlatformStep, StepFailure } from '../platform-steps/platform-step.ts'
import { type CommitPlan, newCommits, writeCommits } from './commits.ts'
import type { History, Keep } from './evidence.ts'
import { judgeChange, named } from './judge-change.ts'
import { OurRepository } from './our-repository.ts'
import { type BoxedPack, packInBox, tooMuch } from './pack-in-box.ts'
import { checkSizes } from './safe-change.ts'
import { WithoutSetup } from './setup-changes.ts'
import { checkPathCounts } from './tree-changes.ts'

export type ExportArgs = z.infer<typeof GitCarryArgs>

/** Repositories of the runner that a run's checkout uses; no box can write to them. */
export interface CheckoutRepositories {
  /** Receives the exported commits. */
  own_git: string
  /** Copy that boxes can read. */
  mirror: string
}

export interface ExportedChange {
  /** Commit that was exported; empty if nothing was changed. */
  tip: string
  files: number
  added: number
  deleted: number
  /** Changed paths that a person has to approve before they are pushed. */
  asked: readonly string[]
}

export interface ExportOptions extends CheckoutRepositories {
  boxed: PlatformContext['boxed']
  /** Folder of ours that no box has, for temporary files. */
  folder: string
  signal: AbortSignal
  /** Secrets that no change may contain. */
  secrets: KnownSecrets
  keep: Keep
  phase(name: string, message?: string): void
  report(message: string): void
}

/** Limits of one export, whatever is in the pack. */
const MAX_MS = 15 * 60_000
const PACK_MS = 10 * 60_000
/** Ref that protects the exported commits in our repository, since nothing else refers to them. */
export const EXPORTED_REF = 'refs/errand/carried'

/**
 * Takes the work out of its box as a pack, checks its objects in a repository of ours, makes the commits, stores the
 * evidence, and puts the commits where they can be pushed from. Repeated, it gives the same commit. Throws
 * `StepFailure`.
 */
export async function exportChange(args: ExportArgs, options: ExportOptions): Promise<ExportedChange> {
  const work = join(options.folder, 'carry')
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true, mode: 0o700 })
  const late = AbortSignal.timeout(MAX_MS)
  const signal = AbortSignal.any([options.signal, late])
  try {
    return await new ChangeExport(args, { ...options, signal }, work).run()
  } catch (error) {
    options.signal.throwIfAborted()
    if (late.aborted)
      throw new StepFailure('too_large', `Exporting the change took more than ${MAX_MS / 60_000} min.`)
    if (!(error instanceof GitFailure)) throw error
    const isTooMuch = /out of memory|malloc|mmap failed/i.test(error.lines.join('\n'))
    const reason =
      reasonOfWords(error.lines) === 'disk_full' ? 'disk_full' : isTooMuch ? 'too_large' : 'workspace'
    throw new StepFailure(reason, `The change could not be exported: ${error.said}.`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

class ChangeExport {
  readonly #args: ExportArgs
  readonly #options: ExportOptions
  readonly #work: string
  readonly #repository: OurRepository
  readonly #own: OurRepository

  constructor(args: ExportArgs, options: ExportOptions, work: string) {
    const { own_git, mirror, signal } = options
    this.#args = args
    this.#options = options
    this.#work = work
    // A pack with its index, and what is inflated on the way, each in its own file.
    const limits = { signal, maxFileBytes: args.max_bytes + 64 * 1024 ** 2 }
    const folder = join(work, 'quarantine.git')
    this.#repository = OurRepository.make({ folder, ...limits }, [own_git, mirror], args.start.length === 64)
    this.#own = new OurRepository({ folder: own_git, ...limits })
  }

  async run(): Promise<ExportedChange> {
    const { start, commits, max_bytes, max_file_bytes, snapshot } = this.#args
    const { boxed, mirror, phase } = this.#options
    phase('pack')
    const packAsk = {
      start,
      snapshot,
      commits,
      mirror,
      folder: this.#work,
      maxBytes: max_bytes,
      timeoutMs: PACK_MS,
    }
    const pack = await packInBox(boxed, packAsk)
    phase('check')
    await this.#quarantine(pack)
    rmSync(pack.file)
    const reached = { start, tip: pack.all }
    await checkSizes(this.#repository, reached, { maxFileBytes: max_file_bytes, maxBytes: max_bytes })
    if (await this.#isSame(pack.tree, start)) return nothing
    const { plan: found, history } = await this.#plan(pack)
    const own = await newCommits(this.#repository, found)
    await checkPathCounts(this.#repository, start, [pack.tree, ...own])
    const { own_git } = this.#options
    const places = { own_git, start, index: join(this.#work, 'index') }
    const setup = new WithoutSetup({ repository: this.#repository, ...places })
    const plan = { ...found, tree: await setup.tree(found.tree) }
    if (await this.#isSame(plan.tree, start)) return nothing
    const ask = {
      ...{ plan, commits: own, words: this.#args, treeOf: (tree: string) => setup.tree(tree) },
      scratch: join(this.#work, 'commits'),
    }
    const { tip, made } = await writeCommits(this.#repository, ask)
    if (this.#args.mended) await this.#refuseMarks(tip)
    return await this.#judge({ history, tip, own: made })
  }

  async #refuseMarks(tip: string): Promise<void> {
    const left = new Set<string>()
    const read = this.#repository.lines(['diff-tree', '-r', '--check', this.#args.start, tip], (line) => {
      const [, path] = /^(.*):\d+: leftover conflict marker/.exec(line) ?? []
      if (path !== undefined) left.add(path)
    })
    await read.catch((error: unknown) => {
      // 2 means a finding, such as a conflict marker or a trailing space.
      if (!(error instanceof GitFailure) || error.end !== 2) throw error
    })
    if (left.size === 0) return
    throw new StepFailure(
      'conflict',
      `Conflict markers are left in ${named([...left])}.`,
      'Resolve the conflicts by hand: the work so far is saved.',
    )
  }

  /** Takes the objects; Git's own rules check them as they come. */
  async #quarantine({ file, all, tree, head }: BoxedPack): Promise<void> {
    const { max_bytes } = this.#args
    try {
      await this.#repository.takePack(file, max_bytes)
      const output = await this.#repository.text(['rev-parse', `${all}^{tree}`, `${all}^@`])
      if (output !== `${tree}\n${head}`)
        throw new StepFailure('unsafe_change', 'The pack does not match its header.')
    } catch (error) {
      if (!(error instanceof GitFailure)) throw error
      if (/exceeds maximum allowed size|out of memory|File too large|malloc/i.test(error.lines.join('\n')))
        throw tooMuch(max_bytes)
      throw new StepFailure(
        'unsafe_change',
        `Git refused the pack from the box: ${error.said}.`,
        'No common Git command creates such objects: check the log of the agent.',
      )
    }
  }

  async #isSame(tree: string, commit: string): Promise<boolean> {
    return (await this.#repository.text(['rev-parse', `${commit}^{tree}`])) === tree
  }

  /**
   * Plans the commits. The agent's commits count if they descend from the start; otherwise its work becomes one change.
   */
  async #plan({ head, tree }: BoxedPack): Promise<{ plan: CommitPlan; history: History }> {
    const { start, commits } = this.#args
    const squashed = { start, known: [], head: start, tree }
    if (commits === 'squash') return { plan: squashed, history: 'squashed' }
    if (!(await this.#repository.holds(['merge-base', '--is-ancestor', start, head]))) {
      this.#options.report(
        `The agent has rewritten history: its commits do not descend from ${start}, so the change becomes one commit (history_rewritten).`,
      )
      return { plan: squashed, history: 'rewritten' }
    }
    return { plan: { start, known: await this.#known(), head, tree }, history: 'kept' }
  }

  /** Returns the commits that existed before the agent: those of the mirror, and of an earlier try. */
  async #known(): Promise<string[]> {
    const { mirror, signal } = this.#options
    const ids = new Set<string>()
    const from = new OurRepository({ folder: mirror, signal, maxFileBytes: 1024 ** 2 })
    await from.lines(['for-each-ref', '--format=%(objecttype) %(objectname) %(*objectname)'], (line) => {
      const [type, id, peeled] = line.split(' ')
      const commit = type === 'commit' ? id : peeled
      if (commit) ids.add(commit)
    })
    const earlier = await this.#own.text(['rev-parse', '--verify', '--quiet', 'HEAD']).catch(() => '')
    if (earlier !== '') ids.add(earlier)
    const there = await this.#repository.text(
      ['cat-file', '--batch-check'],
      [...ids].map((id) => `${id}\n`).join(''),
    )
    return there.split('\n').flatMap((line) => (/ commit \d+$/.test(line) ? [line.split(' ')[0]!] : []))
  }

  async #judge(made: { history: History; tip: string; own: readonly string[] }): Promise<ExportedChange> {
    const { start, below, protect, max_bytes } = this.#args
    const { secrets, keep, phase, report } = this.#options
    const ask = {
      ...made,
      start,
      below: below || start,
      protect,
      folder: join(this.#work, 'evidence'),
    }
    const { files, asked, pack } = await judgeChange(this.#repository, ask, { secrets, keep, phase, report })
    await this.#own.takePack(pack, max_bytes)
    await this.#own.text(['update-ref', '--no-deref', EXPORTED_REF, made.tip])
    const sum = (of: 'added' | 'deleted') => files.reduce((all, file) => all + (file[of] ?? 0), 0)
    return { tip: made.tip, files: files.length, added: sum('added'), deleted: sum('deleted'), asked }
  }
}

const nothing: ExportedChange = { tip: '', files: 0, added: 0, deleted: 0, asked: [] }

export interface GitCarryOptions {
  /** Returns the run's checkout of a repository. */
  checkout(runId: string): CheckoutRepositories | undefined
  keep(context: PlatformContext): Keep
}

/**
 * Makes the step `git.carry`, which takes the work out of its box, checks it, and turns it into commits that can be
 * pushed.
 */
export const gitCarryStep = ({ checkout, keep }: GitCarryOptions): PlatformStep => ({
  async run(context) {
    const args = context.args as ExportArgs
    const { spec, folder, signal } = context
    const repositories = checkout(spec.run_id)
    if (!repositories)
      throw new StepFailure(
        'workspace',
        'The run has no checkout of a repository here.',
        'Retry the task from its checkpoint.',
      )
    const exported = await exportChange(args, {
      ...{ own_git: repositories.own_git, mirror: repositories.mirror, folder, signal },
      boxed: (command) => context.boxed(command),
      secrets: new KnownSecrets(context.secrets),
      keep: keep(context),
      phase: (name, message) => context.phase(name, message),
      report: (message) => context.write('stderr', `${message}\n`),
    })
    const { tip, files, added, deleted, asked } = exported
    context.write(
      'stdout',
      tip === '' ? 'Nothing was changed.\n' : `${tip}: ${files} files, +${added} −${deleted}\n`,
    )
    return {
      exports: {
        ...{ TIP_SHA: tip, FILES: String(files), ADDED: String(added), DELETED: String(deleted) },
        ASKED: named(asked),
      },
    }
  },
})
