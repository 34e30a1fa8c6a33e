import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import { repositoryAddress } from '../../src/forge/address.ts'
import type { Forge } from '../../src/forge/forge.ts'
import { type EnsuredPullInput, ensureComment, ensurePull } from '../../src/forge/idempotent.ts'
import { openForge, recogniseForge } from '../../src/forge/open-forge.ts'
import { fixedToken } from '../../src/forge/token-source.ts'
import { isSigned } from '../../src/forge/webhook-signatures.ts'
import { eventually } from '../support/errand-command.ts'
import { type Gitea, giteaMissing, startGitea } from '../support/forge/gitea/gitea.ts'
import { runTurn, startModelServer } from '../support/model-server/server.ts'
import { startPrograms } from '../support/programs.ts'

const skip = giteaMissing()
const MODEL_KEY = 'sk-ant-api03-the-machines-own-key-0123456789'
const over: (() => unknown)[] = []
let gitea: Gitea
let token: string
const repo = '/repos/ada/shop'
const open = async (token: string | undefined, path = 'ada/shop'): Promise<Forge> =>
  openForge(await recogniseForge(repositoryAddress(`${gitea.url}/${path}`)), path, {
    tokens: fixedToken(token),
  })
let forge: Forge
let readers: string

before(async () => {
  if (skip) return
  gitea = await startGitea({ after: (work: () => unknown) => void over.push(work) } as never)
  await gitea.user('root1', { isAdmin: true })
  await gitea.user('ada')
  token = await gitea.user('errand')
  readers = await gitea.user('eve')
  await gitea.call('ada', 'POST', '/user/repos', {
    name: 'shop',
    private: true,
    auto_init: true,
    default_branch: 'main',
  })
  for (const [name, permission] of [
    // In Gitea, only an administrator's token may ask for the rights of others.
    ['errand', 'admin'],
    ['eve', 'read'],
  ])
    await gitea.call('ada', 'PUT', `${repo}/collaborators/${name}`, { permission })
  await file('Makefile', 'test:\n\t@test -e made.txt\n', 'main')
  forge = await open(token)
})
after(async () => {
  for (const work of over.reverse()) await work()
})

/** Commits a file as Ada and returns the commit. */
async function file(path: string, content: string, branch: string, from?: string): Promise<string> {
  const made = await gitea.call('ada', 'POST', `${repo}/contents/${path}`, {
    ...{ content: Buffer.from(content).toString('base64'), message: `Add ${path}` },
    ...(from === undefined ? { branch } : { branch: from, new_branch: branch }),
  })
  return (made as { commit: { sha: string } }).commit.sha
}
const issueOf = async (more: object = {}, by = 'ada') =>
  (await gitea.call(by, 'POST', `${repo}/issues`, {
    title: 'Make it so',
    body: 'The shop lacks it.',
    ...more,
  })) as {
    number: number
    html_url: string
  }
const pullInput: EnsuredPullInput = {
  ...{ title: 'Add b', body: 'Made by Errand', head: 'work', base: 'main', isDraft: false },
  ...{ labels: ['errand'], reviewers: ['ada'] },
}

test('a Gitea is recognized, and reports its repository and who has which permission', { skip }, async () => {
  assert.deepEqual(await recogniseForge(repositoryAddress(`${gitea.url}/ada/shop`)), {
    ...{ kind: 'gitea', host: gitea.host, apiUrl: `${gitea.url}/api/v1`, by: 'probe' },
  })
  const { fullName, defaultBranch, isPrivate, right, mayPush } = await forge.repository()
  assert.deepEqual(
    [fullName, defaultBranch, isPrivate, right, mayPush],
    ['ada/shop', 'main', true, 'admin', true],
  )
  const read = await (await open(readers)).repository()
  assert.deepEqual([read.right, read.mayPush], ['read', false])
  assert.equal((await forge.self())?.login, 'errand')
  const { user } = (await gitea.call('root1', 'GET', '/users/eve').then((user) => ({ user }))) as {
    user: { id: number }
  }
  assert.equal(await forge.rightOf({ id: String(user.id), login: 'eve', isBot: false }), 'read')
  await assert.rejects((await open(token, 'ada/gone')).repository(), { code: 'repo_not_found' })
  await assert.rejects((await open(undefined)).repository(), { code: 'repo_not_found' })
  await assert.rejects((await open('0'.repeat(40))).repository(), { code: 'repo_auth' })
  await assert.rejects(forge.issue(9_999), { code: 'not_found' })
})

test("an issue's text, labels, their authors and the comments are read", { skip }, async () => {
  const { number } = await issueOf()
  const { title, body, author, state, labels } = await forge.issue(number)
  assert.deepEqual(
    [title, body, author.login, state, labels],
    ['Make it so', 'The shop lacks it.', 'ada', 'open', []],
  )
  assert.equal(await forge.labelling(number, 'errand'), undefined)
  await forge.addLabels({ kind: 'issue', number }, ['errand'])
  const labelling = await forge.labelling(number, 'errand')
  assert.deepEqual(
    [labelling?.by.login, labelling?.right, labelling?.title],
    ['errand', 'admin', 'Make it so'],
  )
  const { issues } = await forge.labelledIssues('errand', {})
  assert.deepEqual(
    issues.map((issue) => issue.number),
    [number],
  )
  await gitea.call('ada', 'PATCH', `${repo}/issues/${number}`, { title: 'Make it otherwise' })
  assert.equal((await forge.labelling(number, 'errand'))?.title, 'Make it so')
  await gitea.call('eve', 'POST', `${repo}/issues/${number}/comments`, { body: 'Please!' })
  const talk = { kind: 'issue', number } as const
  const own = await forge.addComment(talk, 'Taken up.')
  await forge.editComment(talk, own.id, 'Done.')
  const comments = (await forge.comments(talk)).map(({ author, body }) => [author.login, body])
  assert.deepEqual(comments, [
    ['eve', 'Please!'],
    ['errand', 'Done.'],
  ])
})

test('a pull request is created once, changed, checked and reviewed', { skip }, async () => {
  const headSha = await file('b.txt', 'two\n', 'work', 'main')
  const made = await ensurePull(forge, pullInput, { headSha })
  assert.deepEqual([made.outcome, made.notices, made.pull.labels], ['created', [], ['errand']])
  const { number } = made.pull
  assert.deepEqual(
    [made.pull.head, made.pull.base, made.pull.headSha, made.pull.isSameRepository, made.pull.state],
    ['work', 'main', headSha, true, 'open'],
  )
  assert.equal((await ensurePull(forge, pullInput, { headSha })).outcome, 'unchanged')
  const more = await ensurePull(forge, { ...pullInput, title: 'Add b at last' }, { headSha })
  assert.deepEqual([more.outcome, more.pull.number, more.pull.title], ['updated', number, 'Add b at last'])
  await assert.rejects(forge.createPull(pullInput), { code: 'pull_request', details: { cause: 'exists' } })
  await assert.rejects((await open(readers)).createPull({ ...pullInput, head: 'other' }), {
    code: /forge_denied|not_found|pull_request|repo_not_found/,
  })
  await forge.setStatus(headSha, { state: 'failure', context: 'ci / test', description: 'x'.repeat(200) })
  await forge.setStatus(headSha, { state: 'success', context: 'ci / lint', description: 'fine' })
  const checks = await forge.checks(headSha, 'main')
  assert.deepEqual(checks.map(({ name, result }) => [name, result]).sort(), [
    ['ci / lint', 'passed'],
    ['ci / test', 'failed'],
  ])
  await gitea.call('ada', 'POST', `${repo}/pulls/${number}/reviews`, {
    ...{ event: 'REQUEST_CHANGES', body: 'Not like this.', commit_id: headSha },
    comments: [{ path: 'b.txt', new_position: 1, body: 'Three.' }],
  })
  const notes = await forge.reviewNotes(number)
  const ask = notes.find(({ body }) => body === 'Not like this.')
  assert.deepEqual([ask?.author.login, ask?.asksForChanges, ask?.right], ['ada', true, 'admin'])
  assert.equal(notes.find(({ body }) => body === 'Three.')?.path, 'b.txt')
  const talk = { kind: 'pull', number } as const
  const first = await ensureComment(forge, talk, { key: 'task_1', body: 'Begun.' })
  const second = await ensureComment(forge, talk, { key: 'task_1', body: 'Done.' })
  assert.deepEqual([second.id, (await forge.comments(talk)).length], [first.id, 1])
  await gitea.call('ada', 'POST', `${repo}/pulls/${number}/merge`, { Do: 'merge' })
  const [merged] = await forge.pulls({ head: 'work', base: 'main' })
  assert.deepEqual([merged?.state, merged?.number], ['merged', number])
  assert.equal((await ensurePull(forge, pullInput, { headSha })).outcome, 'merged')
})

test('its webhooks are signed as the hub requires', { skip }, async (t) => {
  const got: { headers: IncomingHttpHeaders; body: Buffer }[] = []
  const server = createServer(async (request, response) => {
    got.push({ headers: request.headers, body: await buffer(request) })
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const config = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    ...{ content_type: 'json', secret: 'the-secret-of-the-hook' },
  }
  await gitea.call('ada', 'POST', `${repo}/hooks`, {
    type: 'gitea',
    config,
    events: ['issues'],
    active: true,
  })
  await issueOf({ title: 'Told' })
  await eventually('the webhook', () => got.length > 0)
  const { headers, body } = got[0]!
  assert.equal(JSON.parse(body.toString()).issue.title, 'Told')
  assert.ok(isSigned('gitea', headers, body, config.secret))
  assert.ok(!isSigned('gitea', headers, body, 'another'))
  assert.ok(!isSigned('gitea', headers, Buffer.concat([body, Buffer.from(' ')]), config.secret))
})

test('an issue becomes a pull request that closes it, by one command', { skip }, async (t) => {
  const issue = await issueOf({ body: 'The shop lacks it.\n\n## Acceptance criteria\n- There is made.txt' })
  const server = await startModelServer({
    script: ({ toolResults }) =>
      toolResults.length > 0 ? { text: 'It is made.' } : runTurn('echo made > made.txt'),
    keys: [MODEL_KEY],
  })
  t.after(() => server.stop())
  const programs = await startPrograms(t, {
    hubEnv: { ERRAND_GIT_ALLOW: gitea.url },
    runnerEnv: {
      ...{ OPENAI_BASE_URL: `${server.url}/v1`, OPENAI_API_KEY: MODEL_KEY, ERRAND_GIT_ALLOW: gitea.url },
    },
  })
  await programs.call('secrets', 'set', `GIT_TOKEN=${token}`, '--host', gitea.host)
  const ran = await programs.call('task', 'run', issue.html_url)
  assert.equal(ran.code, 0, ran.stdout + ran.stderr)
  const pulls = (await gitea.call('ada', 'GET', `${repo}/pulls?state=open`)) as {
    number: number
    title: string
    body: string
    head: { ref: string }
  }[]
  assert.equal(pulls.length, 1)
  assert.match(pulls[0]!.title, /^WIP: .*Make it so/)
  assert.match(pulls[0]!.body, new RegExp(`Closes .*#${issue.number}\\b`))
  const made = await gitea.call('ada', 'GET', `${repo}/contents/made.txt?ref=${pulls[0]!.head.ref}`)
  assert.equal(Buffer.from((made as { content: string }).content, 'base64').toString(), 'made\n')
  await eventually('the comment', async () => {
    const comments = await forge.comments({ kind: 'issue', number: issue.number })
    return comments.some(({ body }) => body.includes(`${gitea.url}/ada/shop/pulls/${pulls[0]!.number}`))
  })
  // It is a draft, and only a pull request that is ready can be merged.
  const { number, head } = pulls[0]!
  await gitea.call('ada', 'PATCH', `${repo}/pulls/${number}`, { title: 'Make it so' })
  await gitea.call('ada', 'POST', `${repo}/pulls/${number}/merge`, {
    Do: 'merge',
    delete_branch_after_merge: false,
  })
  assert.equal((await forge.pulls({ head: head.ref }))[0]!.state, 'merged')
  assert.equal((await forge.issue(issue.number)).state, 'closed')
  const [task] = (await programs.client.tasks.list({})).tasks
  assert.equal(task!.state, 'in_review')
})
