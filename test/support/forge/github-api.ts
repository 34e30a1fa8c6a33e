import { createHash } from 'node:crypto'
import type { ApiAnswer, ApiRequest } from './forge-stand-in.ts'
import type { CheckState, ForgeState, Note, Repository, Ticket } from './forge-state.ts'

interface Context {
  state: ForgeState
  asked: ApiRequest
  repository: Repository
  login: string | undefined
  mayWrite: boolean
}
type Handler = (context: Context, ...found: string[]) => ApiAnswer

const time = (ms: number): string => new Date(ms).toISOString().replace('.000Z', 'Z')
const ok = (body: unknown, status = 200): ApiAnswer => ({ status, body })
const notFound: ApiAnswer = ok(
  { message: 'Not Found', documentation_url: 'https://docs.example.org/rest' },
  404,
)

/**
 * Answers the part of GitHub's REST API that tasks need, and of Gitea's where it differs, as their published
 * descriptions say.
 */
export function githubApi(
  state: ForgeState,
  { url, apiUrl, flavour }: { url: string; apiUrl: string; flavour: 'github' | 'gitea' },
): (request: ApiRequest) => ApiAnswer {
  const isGithub = flavour === 'github'
  const user = (login: string) => {
    const { id, isBot } = state.user(login)
    return { id, login, ...(isGithub ? { type: isBot ? 'Bot' : 'User' } : { username: login }) }
  }
  const label = ({ id, name }: { id: number; name: string }) => ({ id, name, color: '8b949e' })
  const labelsOf = (repository: Repository, names: readonly string[]) =>
    names.map((name) => label(repository.labels.find((one) => one.name === name)!))
  const issueOf = (repository: Repository, ticket: Ticket) => ({
    id: ticket.number + 1000,
    number: ticket.number,
    title: ticket.title,
    body: ticket.body === '' && isGithub ? null : ticket.body,
    user: user(ticket.by),
    state: ticket.isOpen ? 'open' : 'closed',
    labels: labelsOf(repository, ticket.labels),
    comments: ticket.notes.length,
    html_url: `${url}/${repository.path}/${ticket.pull ? (isGithub ? 'pull' : 'pulls') : 'issues'}/${ticket.number}`,
    created_at: time(ticket.createdMs),
    updated_at: time(ticket.updatedMs),
    ...(isGithub
      ? {}
      : { content_version: ticket.happenings.filter(({ kind }) => kind === 'described').length }),
    ...(ticket.pull ? { pull_request: { merged_at: null } } : isGithub ? {} : { pull_request: null }),
  })
  const pullOf = (repository: Repository, ticket: Ticket) => {
    const pull = ticket.pull!
    const repo = { full_name: repository.path, id: repository.id }
    const isMerged = pull.mergeSha !== undefined
    const issue = { ...issueOf(repository, ticket), pull_request: undefined }
    return {
      ...issue,
      draft: isGithub ? pull.isDraft : /^(WIP:|\[WIP\])/i.test(ticket.title),
      merged: isMerged,
      merged_at: isMerged ? time(ticket.updatedMs) : null,
      merge_commit_sha: pull.mergeSha ?? null,
      mergeable: ticket.isOpen ? (state.isMergeable(repository, ticket) ?? null) : null,
      requested_reviewers: pull.reviewers.map(user),
      head: {
        ref: pull.head,
        sha: state.headOf(repository, ticket) ?? '',
        repo,
        label: `${repository.path.split('/')[0]}:${pull.head}`,
      },
      base: { ref: pull.base, sha: state.shaOf(repository.path, `refs/heads/${pull.base}`) ?? '', repo },
    }
  }
  const commentOf = (note: Note) => ({
    id: note.id,
    user: user(note.by),
    body: note.body,
    created_at: time(note.createdMs),
    updated_at: time(note.updatedMs),
  })
  const lineOf = (note: Note) => ({
    ...commentOf(note),
    path: note.path,
    commit_id: note.sha,
    pull_request_review_id: note.reviewId,
    ...(isGithub
      ? { line: note.line, original_line: note.line, position: 1 }
      : { position: note.line, original_position: 0, resolver: note.isResolved ? user('resolver') : null }),
  })
  const statusOf = (one: CheckState) => ({
    id: one.id,
    context: one.name,
    description: one.description,
    target_url: one.url,
    ...(isGithub ? { state: one.state } : { status: one.state }),
  })
  const refused = (errors: object | string): ApiAnswer =>
    isGithub
      ? ok(
          {
            message: 'Validation Failed',
            errors: [errors],
            documentation_url: 'https://docs.example.org/rest',
          },
          422,
        )
      : ok(
          {
            message: typeof errors === 'string' ? errors : JSON.stringify(errors),
            url: `${url}/api/swagger`,
          },
          422,
        )
  const denied = ok(
    isGithub
      ? { message: 'Resource not accessible by personal access token' }
      : { message: 'user should have a permission to write to the repo' },
    403,
  )

  /** Returns a page of a list, with a Link header if there is a next page. */
  const paged = ({ asked }: Context, all: readonly unknown[]): ApiAnswer => {
    const size = Math.min(Number(asked.query.get(isGithub ? 'per_page' : 'limit') ?? 30), isGithub ? 100 : 50)
    const page = Number(asked.query.get('page') ?? 1)
    const items = all.slice((page - 1) * size, page * size)
    const next = new URLSearchParams(asked.query)
    next.set('page', String(page + 1))
    const link = `<${apiUrl}${asked.path}?${next}>; rel="next"`
    const count = String(all.length)
    // Gitea links the next page only for issues and pull requests.
    if (!isGithub && !/\/(issues|pulls)$/.test(asked.path))
      return { status: 200, body: items, headers: { 'x-total-count': count } }
    return { status: 200, body: items, headers: all.length > page * size ? { link } : {} }
  }
  const newest = (checks: readonly CheckState[]) => [
    ...new Map(checks.map((one) => [one.name, one])).values(),
  ]

  const createPull: Handler = ({ repository, asked, mayWrite, login }) => {
    const { title, head, base, body = '', draft = false } = asked.body
    if (repository.isArchived)
      return isGithub
        ? ok({ message: 'Repository was archived so is read-only.' }, 403)
        : ok({ message: `${repository.path} is archived` }, 423)
    if (!mayWrite || !asked.token?.mayOpenPulls) return denied
    const shaOf = (name: string) => state.shaOf(repository.path, `refs/heads/${name}`)
    if (shaOf(base) === undefined)
      return isGithub ? refused({ resource: 'PullRequest', field: 'base', code: 'invalid' }) : notFound
    if (shaOf(head) === undefined)
      return isGithub ? refused({ resource: 'PullRequest', field: 'head', code: 'invalid' }) : notFound
    const there = repository.tickets.find(
      (one) => one.isOpen && one.pull?.head === head && one.pull?.base === base,
    )
    if (there !== undefined) {
      const owner = repository.path.split('/')[0]
      return isGithub
        ? refused({
            resource: 'PullRequest',
            code: 'custom',
            message: `A pull request already exists for ${owner}:${head}.`,
          })
        : ok(
            {
              message: `pull request already exists for these targets [id: ${there.number}, issue_id: ${there.number}]`,
            },
            409,
          )
    }
    // Gitea also accepts pull requests without a commit.
    if (isGithub && state.git(repository.path, ['rev-list', '-1', `${base}..${head}`]) === '') {
      const message = `No commits between ${base} and ${head}`
      return refused({ resource: 'PullRequest', code: 'custom', message })
    }
    if (draft && !repository.takesDrafts)
      return ok({ message: 'Draft pull requests are not supported in this repository.' }, 422)
    const ticket = state.addPull(repository, { title, body, by: login!, head, base, isDraft: draft })
    return ok(pullOf(repository, ticket), 201)
  }

  const changeTicket: Handler = (context, kind, number) => {
    const { repository, asked, mayWrite, login } = context
    const ticket = state.ticket(repository, Number(number), kind === 'pulls' ? 'pull' : 'any')
    if (ticket === undefined) return notFound
    if (!mayWrite) return denied
    const { title, body, base, state: newState } = asked.body
    if (base !== undefined) {
      if (state.shaOf(repository.path, `refs/heads/${base}`) === undefined)
        return isGithub ? refused({ resource: 'PullRequest', field: 'base', code: 'invalid' }) : notFound
      ticket.pull!.base = base
    }
    const isOpen = newState === undefined ? undefined : newState === 'open'
    state.edit(ticket, { title, body, isOpen }, login!)
    return ok(
      kind === 'pulls' ? pullOf(repository, ticket) : issueOf(repository, ticket),
      isGithub ? 200 : 201,
    )
  }

  const listIssues: Handler = (context) => {
    const { repository, asked } = context
    // Gitea ignores labels that the repository does not have.
    const isThere = (name: string) => isGithub || repository.labels.some((one) => one.name === name)
    const names = asked.query.get('labels')?.split(',').filter(Boolean).filter(isThere) ?? []
    const sinceMs = Date.parse(asked.query.get('since') ?? '1970-01-01T00:00:00Z')
    const found = repository.tickets
      .filter(
        (one) => one.isOpen && names.every((name) => one.labels.includes(name)) && one.updatedMs >= sinceMs,
      )
      .filter((one) => isGithub || asked.query.get('type') !== 'issues' || one.pull === undefined)
      .sort((a, b) =>
        asked.query.get('direction') === 'asc' ? a.updatedMs - b.updatedMs : b.createdMs - a.createdMs,
      )
      .map((one) => issueOf(repository, one))
    const answer = paged(context, found)
    if (!isGithub) return answer
    const etag = `W/"${createHash('sha256').update(JSON.stringify(found)).digest('hex')}"`
    if (asked.headers['if-none-match'] === etag) return { status: 304, headers: { etag } }
    return { ...answer, headers: { ...answer.headers, etag } }
  }

  const events = (ticket: Ticket) =>
    ticket.happenings
      .filter(({ kind }) => kind !== 'described')
      .map((one, id) => ({
        id,
        event: one.kind,
        actor: user(one.by),
        created_at: time(one.atMs),
        ...(one.label === undefined ? {} : { label: { name: one.label, color: 'fff' } }),
        ...(one.oldTitle === undefined ? {} : { rename: { from: one.oldTitle, to: one.newTitle } }),
      }))
  const timeline = (ticket: Ticket) =>
    [
      ...ticket.notes.map((note) => ({
        atMs: note.createdMs,
        entry: { ...commentOf(note), type: 'comment', label: null, old_title: '' },
      })),
      ...ticket.happenings
        .filter(({ kind }) => kind !== 'described')
        .map((one, id) => ({
          atMs: one.atMs,
          entry: {
            id,
            type: one.kind === 'renamed' ? 'change_title' : 'label',
            user: user(one.by),
            created_at: time(one.atMs),
            body: one.kind === 'labeled' ? '1' : '',
            label: one.label === undefined ? null : { id: 1, name: one.label },
            old_title: one.oldTitle ?? '',
            new_title: one.newTitle ?? '',
          },
        })),
    ]
      .sort((a, b) => a.atMs - b.atMs)
      .map(({ entry }) => entry)
  /**
   * Returns a page of Gitea's timeline. Gitea counts only the page, answers null for an empty one, and has its own
   * error for an issue that does not exist.
   */
  const timelinePage: Handler = (context, number) => {
    const ticket = state.ticket(context.repository, Number(number))
    if (isGithub) return notFound
    if (ticket === undefined) return ok({ message: '', url: `${url}/api/swagger` }, 500)
    const page = paged(context, timeline(ticket)).body as unknown[]
    return {
      status: 200,
      body: page.length === 0 ? null : page,
      headers: { 'x-total-count': String(page.length) },
    }
  }
  const withTicket =
    (handle: (context: Context, ticket: Ticket) => ApiAnswer): Handler =>
    (context, number) => {
      const ticket = state.ticket(context.repository, Number(number))
      return ticket === undefined ? notFound : handle(context, ticket)
    }
  const reviewStates = isGithub
    ? { approved: 'APPROVED', changes: 'CHANGES_REQUESTED', comment: 'COMMENTED' }
    : { approved: 'APPROVED', changes: 'REQUEST_CHANGES', comment: 'COMMENT' }

  const routes: readonly [string, RegExp, Handler][] = [
    [
      'GET',
      /^$/,
      ({ repository, asked }) => {
        const right = state.rightOfToken(repository, asked.token)
        return ok({
          id: repository.id,
          full_name: repository.path,
          default_branch: repository.defaultBranch,
          private: repository.isPrivate,
          archived: repository.isArchived,
          html_url: `${url}/${repository.path}`,
          ...(asked.token === undefined && isGithub
            ? {}
            : { permissions: { admin: right === 'admin', push: right !== 'read', pull: true } }),
        })
      },
    ],
    [
      'GET',
      /^\/collaborators\/([^/]+)\/permission$/,
      ({ repository, asked, mayWrite }, login) => {
        if (isGithub && !mayWrite)
          return ok({ message: 'Must have push access to view collaborator permission.' }, 403)
        // Gitea tells the rights of other users only to the repository's administrators.
        const author = asked.token?.login
        if (!isGithub && author !== login && state.rightOf(repository, author) !== 'admin')
          return ok({ message: 'Only admins can query all permissions' }, 403)
        if (!state.users.some((one) => one.login === login)) return notFound
        return ok({ permission: state.rightOf(repository, login) ?? 'none', user: user(login!) })
      },
    ],
    ['GET', /^\/issues$/, listIssues],
    ['GET', /^\/issues\/(\d+)$/, withTicket(({ repository }, ticket) => ok(issueOf(repository, ticket)))],
    ['PATCH', /^\/(issues|pulls)\/(\d+)$/, changeTicket],
    [
      'GET',
      /^\/issues\/(\d+)\/comments$/,
      withTicket((context, ticket) => {
        const sinceMs = Date.parse(context.asked.query.get('since') ?? '1970-01-01T00:00:00Z')
        const all = ticket.notes
          .filter((one) => one.path === undefined && one.updatedMs >= sinceMs)
          .map(commentOf)
        return isGithub ? paged(context, all) : ok(all)
      }),
    ],
    [
      'POST',
      /^\/issues\/(\d+)\/comments$/,
      withTicket(({ repository, asked, login }, ticket) => {
        if (login === undefined) return ok({ message: 'Requires authentication' }, 401)
        return ok(commentOf(state.comment(repository, ticket, login, asked.body.body)), 201)
      }),
    ],
    [
      'PATCH',
      /^\/issues\/comments\/(\d+)$/,
      ({ repository, asked, login, mayWrite }, id) => {
        const note = repository.tickets.flatMap(({ notes }) => notes).find((one) => one.id === Number(id))
        if (note === undefined) return notFound
        if (note.by !== login && !mayWrite) return denied
        Object.assign(note, { body: asked.body.body, updatedMs: state.moment() })
        state.save()
        return ok(commentOf(note))
      },
    ],
    [
      'GET',
      /^\/issues\/(\d+)\/events$/,
      withTicket((context, ticket) => (isGithub ? paged(context, events(ticket)) : notFound)),
    ],
    ['GET', /^\/issues\/(\d+)\/timeline$/, timelinePage],
    [
      'POST',
      /^\/issues\/(\d+)\/labels$/,
      withTicket(({ repository, asked, login, mayWrite }, ticket) => {
        if (!mayWrite) return denied
        for (const one of asked.body.labels as (string | number)[]) {
          const known = repository.labels.find(({ id, name }) => id === one || name === one)
          if (known === undefined && !isGithub) return notFound
          state.label(repository, ticket, known?.name ?? String(one), login!)
        }
        return ok(labelsOf(repository, ticket.labels))
      }),
    ],
    ['GET', /^\/labels$/, (context) => paged(context, context.repository.labels.map(label))],
    [
      'POST',
      /^\/labels$/,
      ({ repository, asked, mayWrite }) => {
        if (!mayWrite) return denied
        const made = { id: state.id(), name: asked.body.name as string }
        repository.labels.push(made)
        return ok(label(made), 201)
      },
    ],
    [
      'GET',
      /^\/pulls$/,
      (context) => {
        const { repository, asked } = context
        const head = asked.query.get('head')?.split(':')[1]
        const base = asked.query.get('base')
        const found = repository.tickets
          .filter(({ pull, isOpen }) => pull !== undefined && (asked.query.get('state') === 'all' || isOpen))
          .filter(
            ({ pull }) =>
              !isGithub ||
              ((head === undefined || pull!.head === head) && (base === null || pull!.base === base)),
          )
        return paged(context, found.map((one) => pullOf(repository, one)).reverse())
      },
    ],
    ['POST', /^\/pulls$/, createPull],
    [
      'GET',
      /^\/pulls\/(\d+)$/,
      ({ repository }, number) => {
        const ticket = state.ticket(repository, Number(number), 'pull')
        return ticket?.pull === undefined ? notFound : ok(pullOf(repository, ticket))
      },
    ],
    [
      'POST',
      /^\/pulls\/(\d+)\/requested_reviewers$/,
      withTicket(({ repository, asked }, ticket) => {
        for (const login of asked.body.reviewers as string[]) {
          if (repository.rights[login] === undefined)
            return isGithub
              ? ok({ message: 'Reviews may only be requested from collaborators.' }, 422)
              : notFound
          if (!ticket.pull!.reviewers.includes(login)) ticket.pull!.reviewers.push(login)
        }
        state.save()
        return ok(pullOf(repository, ticket), 201)
      }),
    ],
    [
      'GET',
      /^\/pulls\/(\d+)\/reviews$/,
      withTicket((context, ticket) =>
        paged(
          context,
          ticket.pull!.reviews.map((one) => ({
            id: one.id,
            user: user(one.by),
            body: one.body,
            state: reviewStates[one.state],
            submitted_at: time(one.atMs),
            commit_id: one.sha,
          })),
        ),
      ),
    ],
    [
      'GET',
      /^\/pulls\/(\d+)\/comments$/,
      withTicket((context, ticket) =>
        isGithub
          ? paged(context, ticket.notes.filter((one) => one.path !== undefined).map(lineOf))
          : notFound,
      ),
    ],
    [
      'GET',
      /^\/pulls\/(\d+)\/reviews\/(\d+)\/comments$/,
      ({ repository }, number, review) => {
        const notes = state.ticket(repository, Number(number))?.notes ?? []
        return ok(notes.filter((one) => one.reviewId === Number(review)).map(lineOf))
      },
    ],
    [
      'POST',
      /^\/statuses\/(\w+)$/,
      ({ repository, asked, mayWrite }, sha) => {
        if (!mayWrite) return denied
        if (state.shaOf(repository.path, sha!) === undefined)
          return isGithub
            ? ok({ message: `No commit found for SHA: ${sha}` }, 422)
            : ok({ message: '', url: `${url}/api/swagger` }, 500)
        const { state: word, context, description = '', target_url = '' } = asked.body
        if (!['pending', 'success', 'failure', 'error'].includes(word))
          return refused({ field: 'state', code: 'invalid' })
        return ok(
          statusOf(
            state.setCheck(repository, {
              sha: sha!,
              name: context,
              state: word,
              description,
              url: target_url,
            }),
          ),
          201,
        )
      },
    ],
    [
      'GET',
      /^\/git\/commits\/(\w+)$/,
      ({ repository }, sha) =>
        state.shaOf(repository.path, sha!) === undefined ? notFound : ok({ sha: sha! }),
    ],
    [
      'GET',
      /^\/commits\/(\w+)\/status$/,
      ({ repository }, sha) =>
        ok({
          sha,
          state: 'pending',
          statuses: newest(repository.checks.filter((one) => one.sha === sha && !one.isRun)).map(statusOf),
        }),
    ],
    [
      'GET',
      /^\/commits\/(\w+)\/check-runs$/,
      ({ repository }, sha) => {
        const runs = newest(repository.checks.filter((one) => one.sha === sha && one.isRun)).map((one) => ({
          id: one.id,
          name: one.name,
          status: /^(queued|in_progress)$/.test(one.state) ? one.state : 'completed',
          conclusion: /^(queued|in_progress)$/.test(one.state) ? null : one.state,
          html_url: one.url || null,
          app: { slug: 'github-actions' },
          output: { title: one.description || null, summary: null },
        }))
        return isGithub ? ok({ total_count: runs.length, check_runs: runs }) : notFound
      },
    ],
    [
      'GET',
      /^\/branches\/(.+)$/,
      ({ repository }, name) => {
        const branch = decodeURIComponent(name!)
        const sha = state.shaOf(repository.path, `refs/heads/${branch}`)
        if (sha === undefined) return notFound
        const rule = repository.protectedBranches.find((one) => one.branch === branch)
        return ok({
          name: branch,
          commit: { [isGithub ? 'sha' : 'id']: sha },
          protected: rule !== undefined,
          ...(isGithub
            ? {
                protection: {
                  enabled: rule !== undefined,
                  required_status_checks: { contexts: rule?.required ?? [] },
                },
              }
            : {
                enable_status_check: (rule?.required.length ?? 0) > 0,
                status_check_contexts: rule?.required ?? [],
              }),
        })
      },
    ],
    ['GET', /^\/rules\/branches\/(.+)$/, () => (isGithub ? ok([]) : notFound)],
    [
      'GET',
      /^\/actions\/runs$/,
      ({ repository, asked }) => {
        const there = repository.checks.some((one) => one.sha === asked.query.get('head_sha'))
        return ok({ total_count: 1, workflow_runs: there ? [{ id: 1 }] : [] })
      },
    ],
    [
      'GET',
      /^\/actions\/runs\/1\/jobs$/,
      ({ repository }) => {
        const jobs = repository.checks.filter(({ log }) => log !== undefined)
        return ok({
          total_count: jobs.length,
          jobs: jobs.map(({ id, name }) => ({ id, name: /\/ (.+?)( \(\w+\))?$/.exec(name)?.[1] ?? name })),
        })
      },
    ],
    [
      'GET',
      /^\/actions\/jobs\/(\d+)\/logs$/,
      ({ repository, asked }, id) => {
        const check = repository.checks.find((one) => one.id === Number(id))
        if (check?.log === undefined) return notFound
        // GitHub stores logs elsewhere, at an address that needs no token.
        if (isGithub && asked.query.get('signed') === null)
          return { status: 302, headers: { location: `${apiUrl}${asked.path}?signed=1` } }
        if (isGithub && asked.token !== undefined)
          return { status: 400, text: 'a token was sent to the store of logs' }
        return { status: 200, text: check.log, headers: { 'content-type': 'text/plain' } }
      },
    ],
  ]

  return (request) => {
    if (request.path === '/version' && !isGithub) return ok({ version: '1.24.0' })
    if (request.path === '' && isGithub) return ok({ current_user_url: `${apiUrl}/user` })
    const { token } = request
    if (request.path === '/user')
      return token === undefined
        ? ok({ message: 'Requires authentication' }, 401)
        : state.user(token.login).isBot && isGithub
          ? ok({ message: 'Resource not accessible by integration' }, 403)
          : ok(user(token.login))
    if (request.path === '/graphql' && isGithub) {
      const { owner, name, number } = request.body.variables
      const repository = state.repository(`${owner}/${name}`)
      const ticket = repository && state.ticket(repository, number)
      const issue =
        ticket === undefined
          ? null
          : { lastEditedAt: ticket.editedMs === undefined ? null : time(ticket.editedMs) }
      return ok({ data: { repository: { issue } } })
    }
    const [, path, rest] = /^\/repos\/([^/]+\/[^/]+)(.*)$/.exec(request.path) ?? []
    const repository = path === undefined ? undefined : state.repository(decodeURIComponent(path))
    const right = repository && state.rightOfToken(repository, token)
    if (repository === undefined || (right === undefined && request.query.get('signed') === null))
      return notFound
    for (const [method, pattern, handle] of routes) {
      const found = request.method === method ? pattern.exec(rest!) : null
      if (found === null) continue
      const mayWrite = right === 'write' || right === 'admin'
      if (request.method !== 'GET' && token === undefined)
        return ok({ message: 'Requires authentication' }, 401)
      return handle(
        { state, asked: request, repository, login: token?.login, mayWrite },
        ...found.slice(1).map(decodeURIComponent),
      )
    }
    return notFound
  }
}
