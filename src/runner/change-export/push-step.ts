import { setTimeout as sleep } from 'node:timers/promises'
import type * as z from 'zod'
import type { GitPushArgs } from '../../contract/tasks/actions.ts'
import { GitRefused } from '../git/git-words.ts'
import { type GitPolicy, openRemote, type Remote } from '../git/remote.ts'
import { type RepositoryToken, stepToken, type TokenOf } from '../git/repository-token.ts'
import { KnownSecrets } from '../masking/known-secrets.ts'
import {
  type PlatformContext,
  type PlatformResult,
  type PlatformStep,
  StepFailure,
} from '../platform-steps/platform-step.ts'
import type { LeaseContext, PoolUser } from '../workspaces/lease.ts'
import { type CaughtUp, catchUp } from './catch-up.ts'
import { MAX_FILE_BYTES, type Pushed, pushBranch, shaOf } from './git-push.ts'
import { named } from './judge-change.ts'
import { OurRepository } from './our-repository.ts'
import { refuseSecrets } from './secret-search.ts'

type PushArgs = z.infer<typeof GitPushArgs>

export interface GitPushOptions {
  policy: GitPolicy
  /** Provides the token; default: the one that the step was given. */
  tokenOf?: TokenOf
  /** Checkouts of this machine. */
  pool: {
    /** Returns the run's own checkout; its repository of ours has the exported commits. */
    of(runId: string): { own_git: string } | undefined
    withCommit(
      user: PoolUser,
      remote: Remote,
      what: { sha: string; scope: string },
      context: LeaseContext,
    ): Promise<void>
  }
}

/**
 * Makes the step `git.push`, which sets the branch to the exported commits. The token is requested only now, and used
 * for this repository alone.
 */
export const gitPushStep = ({ policy, pool, tokenOf = stepToken }: GitPushOptions): PlatformStep => ({
  async run(context) {
    const args = context.args as PushArgs
    const own = pool.of(context.spec.run_id)
    if (!own)
      throw new StepFailure(
        'workspace',
        'The run has no checkout of a repository here.',
        'Retry the task from its checkpoint.',
      )
    const token = () => tokenOf({ spec: context.spec, env: context.env, args })
    try {
      return await new Push({ args, context, policy, pool, token, own_git: own.own_git }).run()
    } catch (error) {
      if (!(error instanceof GitRefused)) throw error
      throw new StepFailure(error.reason, error.message, error.hint)
    }
  },
})

/** Returns the commits up to `tip` that none of these refs of the repository has. */
async function newThere(repository: OurRepository, tip: string, refs: readonly string[]): Promise<string[]> {
  const here: string[] = []
  await repository.lines(
    ['cat-file', '--batch-check'],
    (line) => {
      const [id, type] = line.split(' ')
      if (type === 'commit' || type === 'tag') here.push(id!)
    },
    refs.map((id) => `${id}\n`).join(''),
  )
  const commits: string[] = []
  const input = [tip, ...here.map((id) => `^${id}`)].map((line) => `${line}\n`).join('')
  await repository.lines(['rev-list', '--stdin'], (id) => void commits.push(id), input)
  return commits
}

interface PushParts extends Pick<GitPushOptions, 'policy' | 'pool'> {
  args: PushArgs
  context: PlatformContext
  /** Returns its current token: files and mounted secrets may have a new one. */
  token(): RepositoryToken
  own_git: string
}

/** Performs one push, including all catching up; repeated after a crash, it finds what it has pushed. */
class Push {
  readonly #parts: PushParts
  #tip: string
  #start: string
  #token: RepositoryToken
  #isRetry = false

  constructor(parts: PushParts) {
    this.#parts = parts
    this.#token = parts.token()
    this.#tip = parts.args.tip
    this.#start = parts.args.start
  }

  async run(): Promise<PlatformResult> {
    const { onto, branch, expected, retry_count } = this.#parts.args
    // A branch that existed was put on its base at the beginning; now it belongs to others as well.
    if (onto !== undefined && this.#start !== '' && expected === '') {
      const now = shaOf(await this.#open(), onto.ref)
      // The step for the pull request reports a base that is gone.
      const stop = now === '' ? undefined : await this.#catchUp(now, onto.how, `${onto.ref} has moved on`)
      if (stop) return stop
    }
    for (let caught = 0; ; caught++) {
      try {
        return this.#done(await this.#push())
      } catch (error) {
        const isMoved = error instanceof GitRefused && error.reason === 'branch_moved'
        if (!isMoved || this.#start === '' || caught >= retry_count) throw error
        const now = shaOf(await this.#open(), branch)
        // Whoever deleted it does not want it back.
        if (now === '') throw error
        const stop = await this.#catchUp(now, 'rebase', `Others have pushed to ${branch}`, error)
        if (stop) return stop
      }
    }
  }

  /** Refuses secrets. Work of an earlier try comes here unchecked, and may be older than a secret. */
  async #refuseSecrets({ advertisement: { refs } }: Remote): Promise<void> {
    const { context, own_git: folder } = this.#parts
    const { signal, secrets } = context
    const repository = new OurRepository({ folder, signal, maxFileBytes: MAX_FILE_BYTES })
    const commits = await newThere(repository, this.#tip, [...new Set(refs.values())])
    const ask = { commits, secrets: new KnownSecrets(secrets), shapes: false }
    await refuseSecrets(repository, ask)
  }

  async #open(): Promise<Remote> {
    const { args, context, policy } = this.#parts
    const { signal, folder } = context
    const { repo: url, username } = args
    return await this.#withToken(({ token }) =>
      openRemote({ url, username, token }, { policy, folder, signal }),
    )
  }

  /** Looks up the token again, once, if it is refused meanwhile. */
  async #withToken<T>(work: (token: RepositoryToken) => Promise<T>): Promise<T> {
    try {
      return await work(this.#token)
    } catch (error) {
      const isRefused = error instanceof GitRefused && ['repo_auth', 'push_denied'].includes(error.reason)
      if (!isRefused || this.#isRetry) throw error
      const now = this.#parts.token()
      if (now.token === this.#token.token) throw error
      this.#isRetry = true
      this.#token = now
      this.#parts.context.write(
        'stderr',
        'The token was refused. There is a different one now: trying again with it.\n',
      )
      return await work(now)
    }
  }

  async #push(): Promise<Pushed> {
    const { args, context, own_git: folder } = this.#parts
    const { branch, expected, force, retry_count: retries } = args
    return await this.#withToken(() =>
      pushBranch(
        { folder, branch, tip: this.#tip, expected, force, retries },
        {
          signal: context.signal,
          open: () => this.#open(),
          check: (remote) => this.#refuseSecrets(remote),
          phase: (name, message) => context.phase(name, message),
          report: (message) => context.write('stderr', `${message}\n`),
          pause: (ms, until) => sleep(ms, undefined, { signal: until }),
        },
      ),
    )
  }

  /** Catches up; returns how the step ends if it may not push yet. */
  async #catchUp(
    onto: string,
    how: 'rebase' | 'merge',
    moved: string,
    refused?: GitRefused,
  ): Promise<PlatformResult | undefined> {
    if (onto === this.#start) {
      if (refused) throw refused
      return undefined
    }
    const { args, context, pool, own_git } = this.#parts
    const { signal, spec } = context
    const user = { run_id: spec.run_id, tenant: spec.tenant ?? '' }
    const report = (message: string) => context.write('stderr', `${message}\n`)
    await pool.withCommit(
      user,
      await this.#open(),
      { sha: onto, scope: this.#token.scope },
      { signal, report },
    )
    const { retest, conflicts, protect, last } = args
    const caught = await catchUp(
      {
        ...{ start: this.#start, tip: this.#tip, onto, how, moved, retest, protect },
        conflicts: last ? 'fail' : conflicts,
        maxBytes: MAX_FILE_BYTES,
      },
      own_git,
      context,
    )
    this.#start = onto
    if (caught.type === 'done') this.#tip = caught.tip
    if (caught.type === 'done' && !caught.needsTest) return undefined
    if (last)
      throw (
        refused ??
        new GitRefused('branch_moved', `${moved} repeatedly while the change was being tested.`, {
          hint: 'Try the task again: it starts from the current state of the branch. The commits so far are saved as an artifact.',
        })
      )
    return this.#waits(moved, caught)
  }

  #waits(moved: string, caught: CaughtUp): PlatformResult {
    const conflicts = caught.type === 'conflict' ? named(caught.files) : ''
    const what = conflicts === '' ? 'the change must be tested again' : `the change conflicts in ${conflicts}`
    this.#parts.context.write('stdout', `Not pushed yet: ${moved}; ${what}.\n`)
    return { exports: { ...this.#ours(), MOVED: 'yes', CONFLICTS: conflicts } }
  }

  #done({ sha, branch, forced, before }: Pushed): PlatformResult {
    const { args, context } = this.#parts
    context.report({ type: 'pushed', repo: args.repo, branch, sha, forced })
    context.write('stdout', `${branch} is ${before ? 'already ' : ''}at ${sha}\n`)
    return {
      exports: {
        ...{ PUSHED_SHA: sha, BRANCH: branch },
        ...(args.start !== '' && { ...this.#ours(), MOVED: '', CONFLICTS: '' }),
      },
    }
  }

  #ours = () => ({ START_SHA: this.#start, TIP_SHA: this.#tip })
}
