import type { ApiAnswer, ApiRequest } from './forge-stand-in.ts'
import type { CheckState, ForgeState, Note, Repository, Right, Ticket } from './forge-state.ts'

interface Context {
  asked: ApiRequest
  repository: Repository
  login: string | undefined
  mayWrite: boolean
}
type Handler = (context: Context, ...found: string[]) => ApiAnswer

const time = (ms: number): string => new Date(ms).toISOString()
const ok = (body: unknown, status = 200): ApiAnswer => ({ status, body })
const notFound = (what = 'Project'): ApiAnswer => ok({ message: `404 ${what} Not Found` }, 404)
const denied = ok({ message: '403 Forbidden' }, 403)
const levels: Readonly<Record<Right, number>> = { read: 20, write: 30, admin: 40 }

/** Answers the part of version 4 of GitLab's API that tasks need, as its published description says. */
export function gitlabApi(state: ForgeState, url: string): (request: ApiRequest) => ApiAnswer {
  const user = (login: string) => {
    const { id, isBot } = state.user(login)
    return { id, username: login, name: login, state: 'active', ...(isBot ? { bot: true } : {}) }
  }
  const issueOf = (repository: Repository, ticket: Ticket) => ({
    id: ticket.number + 1000,
    iid: ticket.number,
    project_id: repository.id,
    title: ticket.title,
    description: ticket.body,
    author: user(ticket.by),
    state: ticket.isOpen ? 'opened' : 'closed',
    labels: ticket.labels,
    web_url: `${url}/${repository.path}/-/issues/${ticket.number}`,
    created_at: time(ticket.createdMs),
    updated_at: time(ticket.updatedMs),
  })
  const requestOf = (repository: Repository, ticket: Ticket) => {
    const pull = ticket.pull!
    const isMergeable = ticket.isOpen ? state.isMergeable(repository, ticket) : undefined
    return {
      ...issueOf(repository, ticket),
      state: pull.mergeSha !== undefined ? 'merged' : ticket.isOpen ? 'opened' : 'closed',
      draft: /^(\[draft\]|draft:|\(draft\))/i.test(ticket.title),
      source_branch: pull.head,
      target_branch: pull.base,
      source_project_id: repository.id,
      target_project_id: repository.id,
      sha: state.headOf(repository, ticket) ?? null,
      detailed_merge_status: isMergeable === undefined ? 'unchecked' : isMergeable ? 'mergeable' : 'conflict',
      merge_commit_sha: pull.mergeSha ?? null,
      squash_commit_sha: null,
      reviewers: pull.reviewers.map(user),
      web_url: `${url}/${repository.path}/-/merge_requests/${ticket.number}`,
    }
  }
  const noteOf = (note: Note) => ({
    id: note.id,
    body: note.body,
    author: user(note.by),
    system: note.isSystem ?? false,
    created_at: time(note.createdMs),
    updated_at: time(note.updatedMs),
    ...(note.path === undefined
      ? {}
      : {
          type: 'DiffNote',
          resolvable: true,
          resolved: note.isResolved ?? false,
          position: {
            new_path: note.path,
            old_path: note.path,
            new_line: note.line,
            old_line: null,
            head_sha: note.sha,
          },
        }),
  })
  const statusOf = (one: CheckState) => ({
    id: one.id,
    sha: one.sha,
    name: one.name,
    status: one.state,
    description: one.description || null,
    target_url: one.url || null,
    allow_failure: one.allowFailure,
  })
  /** Returns what GitLab notes about changes, together with the comments of people. */
  const notesOf = (ticket: Ticket): Note[] =>
    [
      ...ticket.notes,
      ...ticket.happenings
        .filter(({ kind }) => kind === 'renamed' || kind === 'described')
        .map(({ kind, by, atMs, oldTitle }, index) => ({
          id: 1_000_000 + index,
          by,
          body:
            kind === 'renamed'
              ? `changed title from **{-${oldTitle}-}** to **{+${ticket.title}+}**`
              : 'changed the description',
          createdMs: atMs,
          updatedMs: atMs,
          isSystem: true,
        })),
    ].sort((a, b) => a.createdMs - b.createdMs)

  const paged = ({ asked }: Pick<Context, 'asked'>, all: readonly unknown[]): ApiAnswer => {
    const size = Math.min(Number(asked.query.get('per_page') ?? 20), 100)
    const page = Number(asked.query.get('page') ?? 1)
    const next = new URLSearchParams(asked.query)
    next.set('page', String(page + 1))
    const link = `<${url}/api/v4${asked.path}?${next}>; rel="next"`
    return {
      status: 200,
      body: all.slice((page - 1) * size, page * size),
      headers: all.length > page * size ? { link, 'x-next-page': String(page + 1) } : {},
    }
  }
  const withTicket =
    (handle: (context: Context, ticket: Ticket) => ApiAnswer): Handler =>
    (context, kind, number) => {
      const ticket = state.ticket(context.repository, Number(number), kind === 'issues' ? 'issue' : 'pull')
      return ticket === undefined ? notFound() : handle(context, ticket)
    }
  const shown = (repository: Repository, ticket: Ticket) =>
    ticket.pull === undefined ? issueOf(repository, ticket) : requestOf(repository, ticket)

  const create: Handler = ({ repository, asked, mayWrite, login }) => {
    const { source_branch: head, target_branch: base, title, description: body = '' } = asked.body
    if (repository.isArchived || !mayWrite || !asked.token?.mayOpenPulls) return denied
    for (const [name, branch] of Object.entries({ Source: head, Target: base }))
      if (state.shaOf(repository.path, `refs/heads/${branch}`) === undefined)
        return ok({ message: [`${name} branch "${branch}" does not exist`] }, 400)
    const there = repository.tickets.find(
      (one) => one.isOpen && one.pull?.head === head && one.pull?.base === base,
    )
    if (there !== undefined)
      return ok(
        { message: [`Another open merge request already exists for this source branch: !${there.number}`] },
        409,
      )
    const ticket = state.addPull(repository, { title, body, by: login!, head, base, isDraft: false })
    return ok(requestOf(repository, ticket), 201)
  }

  const change = withTicket(({ repository, asked, mayWrite, login }, ticket) => {
    if (!mayWrite) return denied
    const {
      title,
      description: body,
      target_branch: base,
      state_event: event,
      add_labels: labels,
      reviewer_ids: reviewers,
    } = asked.body
    if (base !== undefined) {
      if (state.shaOf(repository.path, `refs/heads/${base}`) === undefined)
        return ok({ message: { target_branch: ['does not exist'] } }, 400)
      ticket.pull!.base = base
    }
    if (reviewers !== undefined)
      ticket.pull!.reviewers = (reviewers as number[]).flatMap(
        (id) => state.users.find((one) => one.id === id)?.login ?? [],
      )
    for (const name of (labels as string | undefined)?.split(',') ?? [])
      state.label(repository, ticket, name, login!)
    state.edit(ticket, { title, body, isOpen: event === undefined ? undefined : event === 'reopen' }, login!)
    return ok(shown(repository, ticket))
  })

  const setStatus: Handler = ({ repository, asked, mayWrite }, sha) => {
    if (!mayWrite) return denied
    if (state.shaOf(repository.path, sha!) === undefined) return notFound('Commit')
    const { state: word, name, description = '', target_url = '' } = asked.body
    if (!['pending', 'running', 'success', 'failed', 'canceled', 'skipped'].includes(word))
      return ok({ error: 'state does not have a valid value' }, 400)
    const there = repository.checks.findLast((one) => one.sha === sha && one.name === name)
    if (there?.state === word)
      return ok(
        {
          message: `Cannot transition status via :enqueue from :${word} (Reason(s): Status cannot transition via "enqueue")`,
        },
        400,
      )
    return ok(
      statusOf(state.setCheck(repository, { sha: sha!, name, state: word, description, url: target_url })),
      201,
    )
  }

  const routes: readonly [string, RegExp, Handler][] = [
    [
      'GET',
      /^$/,
      ({ repository, asked }) => {
        const right = state.rightOfToken(repository, asked.token)
        const isMember =
          asked.token !== undefined &&
          state.rightOf({ ...repository, isPrivate: true }, asked.token.login) !== undefined
        return ok({
          id: repository.id,
          path_with_namespace: repository.path,
          default_branch: repository.defaultBranch,
          visibility: repository.isPrivate ? 'private' : 'public',
          archived: repository.isArchived,
          web_url: `${url}/${repository.path}`,
          ...(asked.token === undefined
            ? {}
            : {
                permissions: {
                  project_access: isMember ? { access_level: levels[right!] } : null,
                  group_access: null,
                },
              }),
        })
      },
    ],
    [
      'GET',
      /^\/members\/all\/(\d+)$/,
      ({ repository }, id) => {
        const found = state.users.find((one) => one.id === Number(id))
        const right = found && state.rightOf({ ...repository, isPrivate: true }, found.login)
        return right === undefined
          ? notFound('Not found')
          : ok({ ...user(found!.login), access_level: levels[right] })
      },
    ],
    [
      'GET',
      /^\/issues$/,
      (context) => {
        const { repository, asked } = context
        const names = asked.query.get('labels')?.split(',') ?? []
        const afterMs = Date.parse(asked.query.get('updated_after') ?? '1970-01-01T00:00:00Z')
        const found = repository.tickets.filter(
          (one) =>
            one.pull === undefined &&
            one.isOpen &&
            names.every((name) => one.labels.includes(name)) &&
            one.updatedMs >= afterMs,
        )
        return paged(
          context,
          found.sort((a, b) => a.updatedMs - b.updatedMs).map((one) => issueOf(repository, one)),
        )
      },
    ],
    [
      'GET',
      /^\/merge_requests$/,
      (context) => {
        const { repository, asked } = context
        const [head, base, filter] = ['source_branch', 'target_branch', 'state'].map((name) =>
          asked.query.get(name),
        )
        const found = repository.tickets.filter(
          ({ pull, isOpen }) =>
            pull !== undefined &&
            (filter === 'all' || isOpen) &&
            (head === null || pull.head === head) &&
            (base === null || pull.base === base),
        )
        return paged(context, found.map((one) => requestOf(repository, one)).reverse())
      },
    ],
    ['POST', /^\/merge_requests$/, create],
    [
      'GET',
      /^\/(issues|merge_requests)\/(\d+)$/,
      withTicket(({ repository }, ticket) => ok(shown(repository, ticket))),
    ],
    ['PUT', /^\/(issues|merge_requests)\/(\d+)$/, change],
    [
      'GET',
      /^\/(issues|merge_requests)\/(\d+)\/notes$/,
      withTicket((context, ticket) => {
        const notes = notesOf(ticket).filter((one) => one.path === undefined)
        if (context.asked.query.get('sort') !== 'asc') notes.reverse()
        return paged(context, notes.map(noteOf))
      }),
    ],
    [
      'POST',
      /^\/(issues|merge_requests)\/(\d+)\/notes$/,
      withTicket(({ repository, asked, login }, ticket) =>
        login === undefined
          ? ok({ message: '401 Unauthorized' }, 401)
          : ok(noteOf(state.comment(repository, ticket, login, asked.body.body)), 201),
      ),
    ],
    [
      'PUT',
      /^\/(issues|merge_requests)\/(\d+)\/notes\/(\d+)$/,
      (context, kind, number, id) =>
        withTicket(({ asked, login }, ticket) => {
          const note = ticket.notes.find((one) => one.id === Number(id))
          if (note === undefined) return notFound('Note')
          if (note.by !== login) return denied
          Object.assign(note, { body: asked.body.body, updatedMs: state.moment() })
          state.save()
          return ok(noteOf(note))
        })(context, kind!, number!),
    ],
    [
      'GET',
      /^\/(issues)\/(\d+)\/resource_label_events$/,
      withTicket((context, ticket) =>
        paged(
          context,
          ticket.happenings
            .filter(({ kind }) => kind === 'labeled' || kind === 'unlabeled')
            .map((one, id) => ({
              id,
              user: user(one.by),
              created_at: time(one.atMs),
              label: { id: 1, name: one.label },
              action: one.kind === 'labeled' ? 'add' : 'remove',
            })),
        ),
      ),
    ],
    [
      'GET',
      /^\/(merge_requests)\/(\d+)\/discussions$/,
      withTicket((context, ticket) =>
        paged(context, [
          ...notesOf(ticket).map((one) => ({ id: `d${one.id}`, notes: [noteOf(one)] })),
          ...ticket
            .pull!.reviews.filter(({ body }) => body !== '')
            .map((one) => ({
              id: `r${one.id}`,
              notes: [
                noteOf({ id: one.id, by: one.by, body: one.body, createdMs: one.atMs, updatedMs: one.atMs }),
              ],
            })),
        ]),
      ),
    ],
    [
      'GET',
      /^\/(merge_requests)\/(\d+)\/reviewers$/,
      withTicket((_, ticket) => {
        const states = new Map(
          ticket.pull!.reviews.map((one) => [
            one.by,
            one.state === 'changes' ? 'requested_changes' : 'reviewed',
          ]),
        )
        return ok(
          [...new Set([...ticket.pull!.reviewers, ...states.keys()])].map((login) => ({
            user: user(login),
            state: states.get(login) ?? 'unreviewed',
            created_at: time(ticket.createdMs),
          })),
        )
      }),
    ],
    ['POST', /^\/statuses\/(\w+)$/, setStatus],
    [
      'GET',
      /^\/repository\/commits\/(\w+)\/statuses$/,
      (context, sha) =>
        paged(
          context,
          [
            ...new Map(
              context.repository.checks.filter((one) => one.sha === sha).map((one) => [one.name, one]),
            ).values(),
          ].map(statusOf),
        ),
    ],
    [
      'GET',
      /^\/jobs\/(\d+)\/trace$/,
      ({ repository }, id) => {
        const check = repository.checks.find((one) => one.id === Number(id))
        return check?.log === undefined
          ? notFound('Not found')
          : { status: 200, text: check.log, headers: { 'content-type': 'text/plain' } }
      },
    ],
  ]

  return (request) => {
    const { token } = request
    if (request.path === '/version')
      return token === undefined ? ok({ message: '401 Unauthorized' }, 401) : ok({ version: '17.8.0' })
    if (request.path === '/user')
      return token === undefined ? ok({ message: '401 Unauthorized' }, 401) : ok(user(token.login))
    if (request.path === '/users') {
      const username = request.query.get('username')
      return ok(state.users.filter(({ login }) => login === username).map(({ login }) => user(login)))
    }
    const [, path, rest] = /^\/projects\/([^/]+)(.*)$/.exec(request.path) ?? []
    const repository = path === undefined ? undefined : state.repository(decodeURIComponent(path))
    const right = repository && state.rightOfToken(repository, token)
    if (repository === undefined || right === undefined) return notFound()
    for (const [method, pattern, handle] of routes) {
      const found = request.method === method ? pattern.exec(rest!) : null
      if (found === null) continue
      if (method !== 'GET' && token === undefined) return ok({ message: '401 Unauthorized' }, 401)
      return handle(
        { asked: request, repository, login: token?.login, mayWrite: right !== 'read' },
        ...found.slice(1),
      )
    }
    return notFound('Not found')
  }
}
