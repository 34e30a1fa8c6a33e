import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Flavour, startForge } from '../../test/support/forge/forge-stand-in.ts'
import { issueAddress, repositoryAddress } from './address.ts'
import { mayWrite } from './forge.ts'
import { type EnsuredPullInput, ensureComment, ensurePull } from './idempotent.ts'
import { openForge, recogniseForge } from './open-forge.ts'
import { fixedToken } from './token-source.ts'

/** Starts a forge with a repository that has a branch `work` besides `main`, and a driver with a write token. */
async function world(t: TestContext, flavour: Flavour) {
  const standIn = await startForge({ flavour })
  t.after(async () => await standIn.stop())
  const path = flavour === 'gitlab' ? 'acme/tools/app' : 'acme/app'
  const repository = standIn.makeRepository(path, {
    files: { 'a.txt': 'one\n' },
    isPrivate: true,
    // On Gitea, only an administrator's token may query the rights of others.
    rights: { errand: flavour === 'gitea' ? 'admin' : 'write', ada: 'write', eve: 'read', root: 'admin' },
  })
  const sha = standIn.state.commit(path, 'work', { 'b.txt': 'two\n' }, 'Work', 'errand')
  const found = await recogniseForge(repositoryAddress(repository.url))
  const waits: number[] = []
  const open = (token: string | undefined, at = path) =>
    openForge(found, at, {
      tokens: fixedToken(token),
      timeoutMs: 5_000,
      wait: async (ms, signal) => {
        signal?.throwIfAborted()
        waits.push(ms)
      },
    })
  const token = standIn.makeToken('errand', { right: 'write' })
  return { standIn, state: standIn.state, repository, sha, token, waits, open, forge: open(token), found }
}

const requested: EnsuredPullInput = {
  title: 'Add b',
  body: 'Made by Errand',
  head: 'work',
  base: 'main',
  isDraft: false,
  labels: [],
  reviewers: [],
}

for (const flavour of ['github', 'gitea', 'gitlab'] as const) {
  const isGitlab = flavour === 'gitlab'
  const posts = isGitlab ? /^POST .*\/merge_requests$/ : /^POST .*\/pulls$/

  test(`${flavour}: the host's answers identify it, and no token is sent for that`, async (t) => {
    const { found, standIn } = await world(t, flavour)
    assert.deepEqual(found, { kind: flavour, host: standIn.host, apiUrl: standIn.apiUrl, by: 'probe' })
    assert.ok(standIn.seen.every(({ headers }) => headers.authorization === undefined))
  })

  test(`${flavour}: facts of a repository include its default branch and the token's permissions`, async (t) => {
    const { standIn, repository, open, forge } = await world(t, flavour)
    const facts = await forge.repository()
    const { fullName, defaultBranch, isPrivate, isArchived, right, mayPush, mayOpenPulls } = facts
    assert.deepEqual(
      { fullName, defaultBranch, isPrivate, isArchived, right, mayPush, mayOpenPulls },
      {
        fullName: repository.path,
        defaultBranch: 'main',
        isPrivate: true,
        isArchived: false,
        right: 'write',
        mayPush: true,
        mayOpenPulls: true,
      },
    )
    const read = await open(standIn.makeToken('eve')).repository()
    assert.deepEqual([read.right, read.mayPush, read.mayOpenPulls], ['read', false, false])
    repository.isArchived = true
    assert.equal((await forge.repository()).mayPush, false)
    assert.equal((await forge.self())?.login, 'errand')
    const ada = { id: String(standIn.state.user('ada').id), login: 'ada', isBot: false }
    const nobody = { id: String(standIn.state.user('mallory').id), login: 'mallory', isBot: false }
    assert.deepEqual([await forge.rightOf(ada), await forge.rightOf(nobody)], ['write', 'none'])
  })

  test(`${flavour}: each refusal has its own code, and no token in its message`, async (t) => {
    const { standIn, repository, open, forge, token } = await world(t, flavour)
    await assert.rejects(open(token, isGitlab ? 'acme/tools/gone' : 'acme/gone').repository(), {
      code: 'repo_not_found',
    })
    await assert.rejects(open(undefined).repository(), { code: 'repo_not_found' })
    await assert.rejects(open('tok_wrong').repository(), { code: 'repo_auth' })
    await assert.rejects(forge.issue(99), { code: 'not_found' })
    await assert.rejects(open(standIn.makeToken('eve')).createPull(requested), { code: 'forge_denied' })
    await assert.rejects(forge.createPull({ ...requested, base: 'gone' }), {
      code: /pull_request|repo_not_found/,
    })
    standIn.fault({
      match: /./,
      how: { status: 422, body: { message: `no: ${token} and ${encodeURIComponent(token)}` } },
    })
    await assert.rejects(
      forge.repository(),
      (error: Error & { code: string }) =>
        error.code === 'forge_denied' && /no: \*\*\*/.test(error.message) && !error.message.includes(token),
    )
    repository.isArchived = true
    await assert.rejects(ensurePull(forge, requested), { code: isGitlab ? 'forge_denied' : 'repo_archived' })
  })

  test(`${flavour}: a pull request is created once, and later changed only between its marks`, async (t) => {
    const { state, repository, forge, sha } = await world(t, flavour)
    const input = { ...requested, labels: ['errand'], reviewers: ['ada'] }
    const made = await ensurePull(forge, input, { headSha: sha })
    assert.deepEqual([made.outcome, made.notices], ['created', []])
    const ticket = repository.tickets[0]!
    assert.deepEqual([ticket.title, ticket.labels, ticket.pull!.reviewers], ['Add b', ['errand'], ['ada']])
    const { number, headSha, head, base, isDraft, mergeable } = made.pull
    assert.deepEqual(
      { number, headSha, head, base, isDraft, mergeable },
      { number: 1, headSha: sha, head: 'work', base: 'main', isDraft: false, mergeable: true },
    )
    const before = state.moment()
    assert.equal((await ensurePull(forge, input, { headSha: sha })).outcome, 'unchanged')
    assert.ok(ticket.updatedMs < before, 'nothing was changed')
    ticket.pull!.reviewers = []
    await ensurePull(forge, input, { headSha: sha })
    assert.deepEqual(ticket.pull!.reviewers, [], 'does not request a reviewer who removed themselves')
    await ensurePull(forge, { ...input, asksAgain: true }, { headSha: sha })
    assert.deepEqual(
      ticket.pull!.reviewers,
      ['ada'],
      'requests the reviewers again for a try that follows an incomplete one',
    )
    state.edit(ticket, { body: `Words of ada\n\n${ticket.body}\n\nand more` }, 'ada')
    state.label(repository, ticket, 'by-hand', 'ada')
    const changed = await ensurePull(forge, { ...input, title: 'Add b well', body: 'Other figures' })
    assert.equal(changed.outcome, 'updated')
    assert.equal(ticket.title, 'Add b well')
    assert.equal(
      ticket.body,
      'Words of ada\n\n<!-- errand:begin -->\nOther figures\n<!-- errand:end -->\n\nand more',
    )
    assert.deepEqual(ticket.labels, ['errand', 'by-hand'])
    assert.equal(repository.tickets.length, 1)
  })

  test(`${flavour}: a closed pull request is reopened only if requested, and a merged one says so`, async (t) => {
    const { state, repository, forge, sha } = await world(t, flavour)
    const { pull } = await ensurePull(forge, requested)
    const ticket = repository.tickets[0]!
    state.close(repository, ticket)
    assert.equal((await ensurePull(forge, requested)).outcome, 'closed')
    const reopened = await ensurePull(forge, { ...requested, reopen: true })
    assert.deepEqual(
      [reopened.outcome, reopened.pull.state, reopened.pull.number],
      ['updated', 'open', pull.number],
    )
    const mergeSha = state.merge(repository, ticket)
    const merged = await ensurePull(forge, requested, { headSha: sha })
    assert.deepEqual(
      [merged.outcome, merged.pull.state, merged.pull.mergeSha],
      ['merged', 'merged', mergeSha],
    )
    // The branch got more commits after that, so it needs another pull request.
    const headSha = state.commit(repository.path, 'work', { 'c.txt': 'three\n' }, 'More')
    const next = await ensurePull(forge, requested, { headSha })
    assert.deepEqual([next.outcome, next.pull.number], ['created', 2])
  })

  test(`${flavour}: a lost answer does not lead to a second pull request`, async (t) => {
    const { standIn, repository, forge, waits } = await world(t, flavour)
    standIn.fault({ match: posts, how: 'reset_after' })
    assert.equal((await ensurePull(forge, requested)).pull.number, 1)
    assert.equal(repository.tickets.length, 1)
    assert.equal(waits.length, 1)
    // A request that did not arrive is sent again.
    standIn.state.commit(repository.path, 'other', { 'd.txt': '' }, 'Other')
    standIn.fault({ match: posts, times: 2, how: 'reset' })
    standIn.fault({ match: posts, how: { status: 502 } })
    assert.equal((await ensurePull(forge, { ...requested, head: 'other' })).outcome, 'created')
    assert.equal(repository.tickets.length, 2)
  })

  test(`${flavour}: when two open a pull request at once, both get the same one`, async (t) => {
    const { repository, open, token, forge } = await world(t, flavour)
    const both = await Promise.all([ensurePull(forge, requested), ensurePull(open(token), requested)])
    assert.deepEqual(
      both.map(({ pull }) => pull.number),
      [1, 1],
    )
    assert.equal(repository.tickets.length, 1)
  })

  test(`${flavour}: a draft is created and stays a draft, and a forge without drafts says so`, async (t) => {
    const { state, repository, forge } = await world(t, flavour)
    const { pull } = await ensurePull(forge, { ...requested, isDraft: true })
    assert.equal(pull.isDraft, true)
    const again = await ensurePull(forge, { ...requested, isDraft: true, title: 'Other' })
    assert.deepEqual([again.outcome, again.pull.isDraft], ['updated', true])
    if (flavour !== 'github') {
      const ticket = repository.tickets[0]!
      assert.match(ticket.title, /^(WIP|Draft): Other$/)
      state.edit(ticket, { title: 'Other' }, 'ada')
      assert.equal(
        (await ensurePull(forge, { ...requested, isDraft: true, title: 'Other' })).outcome,
        'unchanged',
      )
      return
    }
    repository.takesDrafts = false
    state.commit(repository.path, 'second', { 'x.txt': '' }, 'x')
    const ready = await ensurePull(forge, { ...requested, head: 'second', isDraft: true })
    assert.deepEqual([ready.outcome, ready.pull.isDraft, ready.pull.labels], ['created', false, ['draft']])
    assert.match(ready.notices[0]!, /accepts no drafts/)
  })

  test(`${flavour}: failed labels and reviewers become notices, and a refusal has the forge's words`, async (t) => {
    const { standIn, repository, forge } = await world(t, flavour)
    standIn.fault({
      match: isGitlab ? /^PUT .*merge_requests\/1$/ : /^POST .*\/labels$/,
      how: { status: 403, body: { message: 'no labels for you' } },
    })
    const made = await ensurePull(forge, { ...requested, labels: ['x'], reviewers: ['nobody-here'] })
    assert.equal(made.outcome, 'created')
    assert.equal(made.notices.length, 2, made.notices.join('\n'))
    assert.match(made.notices[0]!, /no labels for you/)
    assert.equal(repository.tickets.length, 1)
    standIn.state.commit(repository.path, 'second', { 'x.txt': '' }, 'x')
    standIn.fault({
      match: posts,
      how: {
        status: 422,
        body: { message: 'Validation Failed', errors: [{ message: 'base is frozen till May' }] },
      },
    })
    await assert.rejects(ensurePull(forge, { ...requested, head: 'second' }), {
      code: 'pull_request',
      message: /base is frozen till May/,
    })
  })

  test(`${flavour}: the base of a pull request changes, and a conflict is detected`, async (t) => {
    const { state, repository, forge } = await world(t, flavour)
    state.commit(repository.path, 'next', { 'b.txt': 'else\n' }, 'Other b')
    const { pull } = await ensurePull(forge, requested)
    const changed = await forge.changePull(pull.number, { base: 'next' })
    assert.equal(changed.base, 'next')
    assert.equal((await forge.pull(pull.number)).mergeable, false)
    await assert.rejects(forge.changePull(pull.number, { base: 'gone' }))
  })

  test(`${flavour}: one comment is edited, and another user's with the same mark is not`, async (t) => {
    const { standIn, state, repository, forge } = await world(t, flavour)
    const issue = state.addIssue(repository, { title: 'Broken', by: 'ada' })
    const talk = { kind: 'issue', number: issue.number } as const
    state.comment(repository, issue, 'eve', 'mine <!-- errand:task-1 -->')
    standIn.fault({ match: /^POST .*\/(comments|notes)$/, how: 'reset_after' })
    await ensureComment(forge, talk, { key: 'task-1', body: 'started' })
    await ensureComment(forge, talk, { key: 'task-1', body: 'done' })
    await ensureComment(forge, talk, { key: 'task-1', body: 'done' })
    await ensureComment(forge, talk, { key: 'task-2', body: 'another' })
    assert.deepEqual(
      (await forge.comments(talk)).map(({ author, body }) => [author.login, body.split('\n')[0]]),
      [
        ['eve', 'mine <!-- errand:task-1 -->'],
        ['errand', 'done'],
        ['errand', 'another'],
      ],
    )
  })

  test(`${flavour}: an issue is read with all its comments, and found by its address`, async (t) => {
    const { state, repository, forge, standIn } = await world(t, flavour)
    const issue = state.addIssue(repository, {
      title: 'Broken',
      body: 'It breaks',
      by: 'eve',
      labels: ['bug'],
    })
    for (let i = 0; i < 120; i++) state.comment(repository, issue, 'ada', `comment ${i}`)
    const found = await forge.issue(issue.number)
    assert.deepEqual(
      [found.title, found.body, found.author.login, found.state, found.labels],
      ['Broken', 'It breaks', 'eve', 'open', ['bug']],
    )
    const address = issueAddress(found.webUrl)
    assert.deepEqual(
      [address?.host, address?.path, address?.number],
      [standIn.host, repository.path, issue.number],
    )
    const comments = await forge.comments({ kind: 'issue', number: issue.number })
    assert.deepEqual([comments.length, comments.at(-1)?.body], [120, 'comment 119'])
  })

  test(`${flavour}: our comment is found below a conversation of any length, which can be read`, async (t) => {
    const { state, repository, forge } = await world(t, flavour)
    const issue = state.addIssue(repository, { title: 'Broken', by: 'ada' })
    state.comment(repository, issue, 'ada', '0')
    const [first] = issue.notes
    for (let i = 1; i < 5_000; i++)
      issue.notes.push({ ...first!, id: first!.id + 100_000 + i, body: `${i}`.padEnd(300) })
    // Old comments are not requested.
    const since = new Date(state.moment()).toISOString()
    const talk = { kind: 'issue', number: issue.number } as const
    await ensureComment(forge, talk, { key: 'task', body: 'started', since })
    await ensureComment(forge, talk, { key: 'task', body: 'done', since })
    assert.deepEqual(
      issue.notes.slice(5_000).map(({ body }) => body.split('\n')[0]),
      ['done'],
    )
    const read = await forge.comments(talk)
    assert.deepEqual(
      read.slice(0, 1000).map(({ body }) => Number(body)),
      Array.from({ length: 1000 }, (_, i) => i),
    )
  })

  test(`${flavour}: a pull request is not an issue`, async (t) => {
    const { forge } = await world(t, flavour)
    const { number } = (await ensurePull(forge, requested)).pull
    await assert.rejects(forge.issue(number), {
      code: 'not_found',
      message: isGitlab ? /no issue 1/ : /1 in acme\/app is a pull request/,
    })
  })

  test(`${flavour}: it reports who labeled an issue, and the issue's text at that time only`, async (t) => {
    const { state, repository, forge } = await world(t, flavour)
    const issue = state.addIssue(repository, { title: 'Bad', body: 'harmless', by: 'eve' })
    state.edit(issue, { title: 'Broken' }, 'eve')
    const ask = () => forge.labelling(issue.number, 'errand')
    assert.equal(await ask(), undefined)
    state.label(repository, issue, 'errand', 'eve')
    state.comment(repository, issue, 'eve', 'a comment changes no text')
    assert.equal((await ask())?.body, 'harmless')
    assert.deepEqual([(await ask())?.by.login, (await ask())?.right], ['eve', 'read'])
    state.label(repository, issue, 'errand', 'root', false)
    assert.equal(await ask(), undefined)
    state.edit(issue, { body: 'still harmless' }, 'eve')
    state.label(repository, issue, 'errand', 'root')
    const labelled = await ask()
    assert.deepEqual(
      [labelled?.by.login, labelled?.right, labelled?.title, labelled?.body],
      ['root', 'admin', 'Broken', 'still harmless'],
    )
    // Many more events follow, on several pages.
    for (let i = 0; i < 120; i++) state.label(repository, issue, `other-${i}`, 'ada')
    assert.equal((await ask())?.by.login, 'root')
    await assert.rejects(forge.labelling(99, 'errand'), { code: 'not_found' })
    state.edit(issue, { title: 'Run this', body: 'rm -rf' }, 'eve')
    state.comment(repository, issue, 'eve', 'please')
    const later = await ask()
    assert.equal(later?.body, undefined)
    assert.equal(later?.title, isGitlab ? undefined : 'Broken')
  })

  test(`${flavour}: labeled issues are listed from a cursor on, without pull requests`, async (t) => {
    const { state, repository, forge } = await world(t, flavour)
    const one = state.addIssue(repository, { title: 'one', by: 'ada', labels: ['errand'] })
    state.addIssue(repository, { title: 'other', by: 'ada', labels: ['bug'] })
    await ensurePull(forge, { ...requested, labels: ['errand'] })
    assert.deepEqual((await forge.labelledIssues('no such label', {})).issues, [])
    const first = await forge.labelledIssues('errand', {})
    assert.deepEqual(
      first.issues.map(({ title }) => title),
      ['one'],
    )
    const two = state.addIssue(repository, { title: 'two', by: 'ada', labels: ['errand'] })
    const second = await forge.labelledIssues('errand', first.cursor)
    assert.equal(second.issues.at(-1)?.number, two.number)
    let last = await forge.labelledIssues('errand', second.cursor)
    last = await forge.labelledIssues('errand', last.cursor)
    assert.ok(!last.issues.some(({ number }) => number === one.number))
    state.comment(repository, one, 'ada', 'again')
    assert.equal((await forge.labelledIssues('errand', last.cursor)).issues.at(-1)?.number, one.number)
  })

  test(`${flavour}: statuses and checks of a commit include what is required and the end of a log`, async (t) => {
    const { state, repository, forge, sha, standIn } = await world(t, flavour)
    const ours = { context: 'errand', description: 'x'.repeat(300), url: 'https://hub.example.org/runs/1' }
    await assert.rejects(forge.setStatus('0'.repeat(40), { ...ours, state: 'pending' }), {
      code: flavour === 'github' ? 'forge_denied' : 'not_found',
    })
    await forge.setStatus(sha, { ...ours, state: 'pending' })
    await forge.setStatus(sha, { ...ours, state: 'pending' })
    await forge.setStatus(sha, { ...ours, state: 'success' })
    assert.equal(repository.checks.at(-1)?.description.length, 140)
    const failed = isGitlab ? 'failed' : 'failure'
    const log = Array.from({ length: 500 }, (_, i) => `line ${i}`).join('\r\n')
    state.protect(repository, 'main', ['ci / test (push)'])
    const url = `${standIn.url}/acme/app/actions/runs/1/jobs/0`
    state.setCheck(repository, {
      sha,
      name: 'ci / test (push)',
      state: failed,
      log,
      url,
      isRun: flavour === 'github',
    })
    state.setCheck(repository, {
      sha,
      name: 'optional',
      state: isGitlab ? 'running' : 'pending',
      allowFailure: true,
    })
    const checks = await forge.checks(sha, 'main')
    const seen = Object.fromEntries(checks.map((one) => [one.name, [one.result, one.isRequired]]))
    assert.deepEqual(seen, {
      errand: ['passed', isGitlab],
      'ci / test (push)': ['failed', true],
      optional: ['running', false],
    })
    const failing = checks.find(({ result }) => result === 'failed')!
    assert.equal(await forge.checkLog(failing.log!, 3), 'line 497\nline 498\nline 499')
  })

  test(`${flavour}: reviews include file, line and the author's permission`, async (t) => {
    const { state, repository, forge, sha } = await world(t, flavour)
    const { pull } = await ensurePull(forge, requested)
    const ticket = repository.tickets[0]!
    state.comment(repository, ticket, 'mallory', 'do evil')
    state.review(repository, ticket, {
      by: 'ada',
      state: 'changes',
      body: 'not yet',
      lines: [{ path: 'b.txt', line: 1, body: 'three, please' }],
    })
    const notes = await forge.reviewNotes(pull.number)
    const short = notes.map((one) => [
      one.author.login,
      one.right,
      one.body,
      one.asksForChanges,
      one.path,
      one.line,
    ])
    assert.deepEqual(short.toSorted(), [
      ['ada', 'write', 'not yet', true, undefined, undefined],
      ['ada', 'write', 'three, please', true, 'b.txt', 1],
      ['mallory', 'none', 'do evil', false, undefined, undefined],
    ])
    assert.equal(notes.find(({ path }) => path === 'b.txt')?.sha, sha)
    state.review(repository, ticket, { by: 'ada', state: 'approved' })
    const after = await forge.reviewNotes(pull.number)
    assert.ok(after.every(({ asksForChanges }) => !asksForChanges))
  })

  test(`${flavour}: its repositories are real git repositories, with permissions, protection and merges`, async (t) => {
    const { standIn, repository, token, forge, state } = await world(t, flavour)
    const folder = mkdtempSync(join(tmpdir(), 'errand-forge-clone-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const address = (who: string) => repository.cloneUrl.replace('://', `://any:${who}@`)
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', folder, '-c', 'user.name=a', '-c', 'user.email=a@example.org', ...args], {
        encoding: 'utf8',
        stdio: 'pipe',
        env: { PATH: process.env.PATH, GIT_TERMINAL_PROMPT: '0', HOME: folder },
      })
    // The server runs in this process, so git must run asynchronously.
    const { execFile } = await import('node:child_process')
    const { promisify } = await import('node:util')
    const beside = async (...args: string[]) =>
      await promisify(execFile)('git', ['-C', folder, ...args], {
        env: { PATH: process.env.PATH, GIT_TERMINAL_PROMPT: '0', HOME: folder },
      })
    await assert.rejects(beside('clone', '-q', repository.cloneUrl, '.'), /could not read Username/)
    await beside('clone', '-q', address(token), '.')
    git('commit', '-q', '--allow-empty', '-m', 'empty')
    await beside('push', '-q', address(token), 'HEAD:refs/heads/fresh')
    assert.equal(git('rev-parse', 'HEAD').trim(), state.shaOf(repository.path, 'refs/heads/fresh'))
    await assert.rejects(beside('push', address(standIn.makeToken('eve')), 'HEAD:refs/heads/evil'), /403/)
    state.protect(repository, 'main')
    await assert.rejects(beside('push', address(token), 'HEAD:main'), /GH006: Protected branch/)
    const { pull } = await ensurePull(forge, requested)
    state.merge(repository, repository.tickets[0]!)
    assert.equal((await forge.pull(pull.number)).state, 'merged')
    await beside('fetch', '-q', address(token), 'main')
    assert.equal(git('show', 'FETCH_HEAD:b.txt'), 'two\n')
  })
}

for (const flavour of ['github', 'gitea', 'gitlab'] as const)
  test(`${flavour}: the labeler is unknown if an issue has more events than are read`, async (t) => {
    const { state, repository, forge } = await world(t, flavour)
    const issue = state.addIssue(repository, { title: 'Broken', by: 'eve', body: 'harmless' })
    state.label(repository, issue, 'errand', 'root')
    const [first] = issue.happenings
    for (let i = 0; i < 1000; i++) issue.happenings.push({ ...first!, label: `other-${i}` })
    // The last event of all contradicts the first one.
    issue.happenings.push({ ...first!, kind: 'unlabeled' })
    await assert.rejects(forge.labelling(issue.number, 'errand'), {
      code: 'service_answer',
      message: /entries for issue .* more than Errand reads/,
    })
  })

test('gitea: a missing permission counts as no write permission', async (t) => {
  const { standIn, state, repository, open } = await world(t, 'gitea')
  repository.rights.helper = 'write'
  const issue = state.addIssue(repository, { title: 'Broken', by: 'eve', labels: ['errand'] })
  const labelled = await open(standIn.makeToken('helper')).labelling(issue.number, 'errand')
  assert.deepEqual([labelled?.by.login, labelled?.right], ['eve', 'unknown'])
  assert.equal(mayWrite(labelled!.right), false)
})

test("github: a pull request without a commit is refused in GitHub's words", async (t) => {
  const { state, repository, forge } = await world(t, 'github')
  state.git(repository.path, ['branch', 'empty', 'main'])
  const request = ensurePull(forge, { ...requested, head: 'empty' })
  await assert.rejects(request, { code: 'pull_request', message: /No commits between main and empty/ })
})
