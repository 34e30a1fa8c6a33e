import * as z from 'zod'
import { type CallOptions, type Check, type Forge, type ReviewNote, withRights } from './forge.ts'
import { type ForgeHttp, Refused } from './forge-http.ts'
import { PAGE, personOf, User } from './github-shapes.ts'

/** Describes a commit status; GitHub's field `state` is called `status` on Gitea. */
const StatusShape = z.object({
  context: z.string(),
  state: z.string().optional(),
  status: z.string().optional(),
  description: z.string().nullish(),
  target_url: z.string().nullish(),
})
const CheckRun = z.object({
  id: z.number(),
  name: z.string(),
  status: z.string(),
  conclusion: z.string().nullish(),
  html_url: z.string().nullish(),
  app: z.object({ slug: z.string().nullish() }).nullish(),
  output: z.object({ title: z.string().nullish(), summary: z.string().nullish() }).nullish(),
})
const Review = z.object({
  id: z.number(),
  user: User,
  body: z.string().nullish(),
  state: z.string(),
  submitted_at: z.string().nullish(),
  commit_id: z.string().nullish(),
  dismissed: z.boolean().optional(),
})
const LineNote = z.object({
  id: z.number(),
  user: User,
  body: z.string().nullish(),
  path: z.string().nullish(),
  line: z.number().nullish(),
  /** Line number on Gitea; on GitHub a position in the diff. */
  position: z.number().nullish(),
  original_line: z.number().nullish(),
  commit_id: z.string().nullish(),
  created_at: z.string(),
  pull_request_review_id: z.number().nullish(),
  resolver: z.unknown().optional(),
})
const Branch = z.object({
  protection: z
    .object({ required_status_checks: z.object({ contexts: z.array(z.string()).nullish() }).nullish() })
    .optional(),
  enable_status_check: z.boolean().optional(),
  status_check_contexts: z.array(z.string()).nullish(),
})
const Rule = z.object({
  type: z.string(),
  parameters: z
    .object({ required_status_checks: z.array(z.object({ context: z.string() })).optional() })
    .nullish(),
})
const ActionRuns = z.object({ workflow_runs: z.array(z.object({ id: z.number() })) })
const ActionJobs = z.object({ jobs: z.array(z.object({ id: z.number(), name: z.string() })) })

/** Reads the checks of a commit, their logs, and the reviews of a pull request. */
export class GithubChecks {
  readonly #forge: Pick<Forge, 'kind' | 'path' | 'comments' | 'rightOf'>
  readonly #http: ForgeHttp
  readonly #repo: string

  constructor(forge: Pick<Forge, 'kind' | 'path' | 'comments' | 'rightOf'>, http: ForgeHttp, repo: string) {
    this.#forge = forge
    this.#http = http
    this.#repo = repo
  }

  async checks(sha: string, base: string, options: CallOptions = {}): Promise<Check[]> {
    const { signal } = options
    const missing = `commit ${sha} in ${this.#forge.path}`
    const [statuses, runs, required] = await Promise.all([
      this.#http.json(
        z.object({ statuses: z.array(StatusShape).nullish() }),
        'GET',
        `${this.#repo}/commits/${sha}/status`,
        { query: { per_page: 100 }, signal, missing },
      ),
      this.#forge.kind === 'github' ? this.#checkRuns(sha, options) : [],
      this.#requiredFor(base, options),
    ])
    const isRequired = (name: string) => required?.has(name)
    const ofStatuses = (statuses.data.statuses ?? []).map((one): Check => {
      const word = one.state ?? one.status ?? ''
      return {
        name: one.context,
        result: statusResults[word] ?? 'other',
        isRequired: isRequired(one.context),
        summary: one.description || word,
        url: one.target_url || undefined,
        log:
          this.#forge.kind === 'gitea' && one.target_url?.includes('/actions/runs/')
            ? `${sha} ${one.context}`
            : undefined,
      }
    })
    const ofRuns = runs.map(
      (one): Check => ({
        name: one.name,
        result: one.status === 'completed' ? (conclusions[one.conclusion ?? ''] ?? 'other') : 'running',
        isRequired: isRequired(one.name),
        summary: one.output?.title || one.output?.summary || one.conclusion || one.status,
        url: one.html_url ?? undefined,
        // A check run by GitHub Actions has the id of its job.
        log: one.app?.slug === 'github-actions' ? String(one.id) : undefined,
      }),
    )
    return [...ofStatuses, ...ofRuns]
  }

  async #checkRuns(sha: string, { signal }: CallOptions): Promise<z.infer<typeof CheckRun>[]> {
    const path = `${this.#repo}/commits/${sha}/check-runs`
    const shape = z.object({ check_runs: z.array(CheckRun) })
    const sent = {
      query: { per_page: 100, filter: 'latest' },
      signal,
      missing: `commit ${sha} in ${this.#forge.path}`,
    }
    return (await this.#http.json(shape, 'GET', path, sent)).data.check_runs
  }

  /** Returns the names of a branch's required checks, or undefined if there are none or the token may not read them. */
  async #requiredFor(base: string, { signal }: CallOptions): Promise<Set<string> | undefined> {
    const branch = base.split('/').map(encodeURIComponent).join('/')
    const sent = { signal, missing: `branch ${base} in ${this.#forge.path}` }
    const ask = async <T>(shape: z.ZodType<T>, path: string): Promise<T | undefined> => {
      try {
        return (await this.#http.json(shape, 'GET', this.#repo + path, sent)).data
      } catch (error) {
        if (error instanceof Refused && [403, 404].includes(error.httpStatus)) return undefined
        throw error
      }
    }
    const [found, rules] = await Promise.all([
      ask(Branch, `/branches/${branch}`),
      this.#forge.kind === 'github' ? ask(z.array(Rule), `/rules/branches/${branch}`) : [],
    ])
    // Older versions have branch protection, but no rules.
    if (found === undefined) return undefined
    const named = (names: readonly string[]) => (names.length === 0 ? undefined : new Set(names))
    if (this.#forge.kind === 'gitea')
      return named(found.enable_status_check ? (found.status_check_contexts ?? []) : [])
    const ofRules = (rules ?? []).flatMap((rule) =>
      rule.type === 'required_status_checks' ? (rule.parameters?.required_status_checks ?? []) : [],
    )
    return named([
      ...(found.protection?.required_status_checks?.contexts ?? []),
      ...ofRules.map(({ context }) => context),
    ])
  }

  async checkLog(log: string, lines: number, { signal }: CallOptions = {}): Promise<string | undefined> {
    const sent = { signal, missing: `log ${log}` }
    try {
      const job = this.#forge.kind === 'github' ? log : await this.#giteaJob(log, signal)
      if (job === undefined) return undefined
      return await this.#http.lastLines(`${this.#repo}/actions/jobs/${job}/logs`, lines, sent)
    } catch (error) {
      if (error instanceof Refused && [403, 404, 410].includes(error.httpStatus)) return undefined
      throw error
    }
  }

  /** Returns the id of the job that set a commit's status, whose name is `workflow / job (event)`. */
  async #giteaJob(log: string, signal: AbortSignal | undefined): Promise<number | undefined> {
    const at = log.indexOf(' ')
    const [sha, context] = [log.slice(0, at), log.slice(at + 1)]
    const query = { head_sha: sha, limit: 50 }
    const runs = await this.#http.json(ActionRuns, 'GET', `${this.#repo}/actions/runs`, {
      query,
      signal,
      missing: 'runs',
    })
    for (const { id } of runs.data.workflow_runs) {
      const path = `${this.#repo}/actions/runs/${id}/jobs`
      const { data } = await this.#http.json(ActionJobs, 'GET', path, { signal, missing: 'jobs' })
      const found = data.jobs.find(({ name }) => context.replace(/ \(\w+\)$/, '').endsWith(`/ ${name}`))
      if (found !== undefined) return found.id
    }
    return undefined
  }

  async reviewNotes(number: number, options: CallOptions = {}): Promise<ReviewNote[]> {
    const { signal } = options
    const pull = `${this.#repo}/pulls/${number}`
    const sent = { query: PAGE, signal, missing: `pull request ${number} in ${this.#forge.path}` }
    const [reviews, talk] = await Promise.all([
      this.#http.pages(z.array(Review), `${pull}/reviews`, sent),
      this.#forge.comments({ kind: 'pull', number }, options),
    ])
    const lineNotes =
      this.#forge.kind === 'github'
        ? await this.#http.pages(z.array(LineNote), `${pull}/comments`, sent)
        : await this.#giteaLineNotes(pull, reviews, sent)
    // A later approval cancels a reviewer's request for changes; the oldest reviews come first.
    const approved = new Map(
      reviews.flatMap(({ user, state, dismissed }, at) =>
        state === 'APPROVED' && !dismissed ? [[personOf(user).login, at] as const] : [],
      ),
    )
    const asking = new Set(
      reviews
        .filter((one) => /^(CHANGES_REQUESTED|REQUEST_CHANGES)$/.test(one.state) && !one.dismissed)
        .filter((one) => reviews.indexOf(one) > (approved.get(personOf(one.user).login) ?? -1))
        .map(({ id }) => id),
    )
    const notes = [
      ...reviews
        .filter(({ id, body, submitted_at }) => submitted_at && (body || asking.has(id)))
        .map((one) => ({
          id: `review-${one.id}`,
          author: personOf(one.user),
          body: one.body ?? '',
          asksForChanges: asking.has(one.id),
          path: undefined,
          line: undefined,
          sha: one.commit_id ?? undefined,
          createdAt: one.submitted_at!,
        })),
      ...lineNotes
        .filter(({ resolver }) => resolver === undefined || resolver === null)
        .map((one) => ({
          id: `line-${one.id}`,
          author: personOf(one.user),
          body: one.body ?? '',
          asksForChanges: asking.has(one.pull_request_review_id ?? -1),
          path: one.path ?? undefined,
          line: (this.#forge.kind === 'gitea' ? one.position : (one.line ?? one.original_line)) ?? undefined,
          sha: one.commit_id ?? undefined,
          createdAt: one.created_at,
        })),
      ...talk.map((one) => ({
        id: `comment-${one.id}`,
        author: one.author,
        body: one.body,
        asksForChanges: false,
        path: undefined,
        line: undefined,
        sha: undefined,
        createdAt: one.createdAt,
      })),
    ]
    return await withRights(this.#forge, notes, options)
  }

  async #giteaLineNotes(
    pull: string,
    reviews: z.infer<typeof Review>[],
    sent: { signal?: AbortSignal; missing: string },
  ) {
    const all = []
    for (const { id } of reviews) {
      const { data } = await this.#http.json(z.array(LineNote), 'GET', `${pull}/reviews/${id}/comments`, {
        signal: sent.signal,
        missing: sent.missing,
      })
      all.push(...data.map((note) => ({ ...note, pull_request_review_id: id })))
    }
    return all
  }
}

const statusResults: Readonly<Record<string, Check['result']>> = {
  pending: 'running',
  success: 'passed',
  warning: 'passed',
  failure: 'failed',
  error: 'failed',
}
const conclusions: Readonly<Record<string, Check['result']>> = {
  success: 'passed',
  failure: 'failed',
  timed_out: 'failed',
  startup_failure: 'failed',
}
