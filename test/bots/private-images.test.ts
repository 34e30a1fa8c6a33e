import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import type { StartBotInput } from '../../src/contract/bots/bot-api.ts'
import { type BotHub, botsHere, startBotHub } from '../support/bot-hub.ts'
import { dockerFor } from '../support/docker/docker.ts'
import { startImageRegistry } from '../support/docker/image-registry.ts'
import { eventually } from '../support/errand-command.ts'
import { filesWith, formsOf, holds } from '../support/secret-search.ts'
import { makeRepository, needsLogin, serveGit } from '../support/sources/git-fixture.ts'

const skip = await botsHere()
const PASSWORD = 'not-a-word-of-it'

/** Returns the names of the secrets that the hub still has, except its own. */
function storedSecrets({ data }: BotHub): unknown[] {
  const db = new DatabaseSync(join(data, 'errand.db'), { readOnly: true })
  const names = db.prepare("SELECT name FROM secrets WHERE scope <> 'hub'").all()
  db.close()
  return names.map(({ name }) => name)
}

/**
 * Asserts that no file of the hub or the runner, nothing they print and nothing the engine shows contains one of the
 * forms.
 */
function assertNowhere(hub: BotHub, forms: readonly string[], shown: readonly object[]): void {
  assert.deepEqual(filesWith(hub.home, forms), [])
  const printed = [hub.hub, hub.runner!].map((program) => program.printed)
  assert.ok(!holds(JSON.stringify([shown, printed]), forms))
}

/** Starts a hub, and a registry with an image of Anna that requires her password. */
async function privateImage(t: TestContext, script: string) {
  const docker = dockerFor(t)
  const registry = await startImageRegistry(t)
  const { address, username, password } = registry
  const hub = await startBotHub(t, { runnerEnv: { ERRAND_REGISTRY_ALLOW: address } })
  const image = `${address}/anna/private:v1`
  const container = await docker.engine.createContainer({
    Image: hub.images.busybox,
    Cmd: ['sh', '-c', script],
    Labels: docker.labels,
  })
  const { Id } = await container.commit({ repo: `${address}/anna/private`, tag: 'v1' })
  const pushed = await docker.engine.getImage(image).push({
    authconfig: { username, password, serveraddress: address },
  })
  assert.doesNotMatch(await text(pushed), /"error"/)
  await container.remove()
  await docker.engine.getImage(image).remove({ force: true })
  return { hub, registry, image, Id, auth: { username, password } }
}

test('only the user who pulled an image with a password can start it, and others do not even see the bot', {
  skip,
}, async (t) => {
  const { hub, image, Id, auth } = await privateImage(t, 'echo a secret of Anna; exec sleep 1000000')
  const { username, password } = auth
  const userOf = async (name: string) => {
    await hub.client.users.create({ name, password: PASSWORD })
    const { token } = await new ErrandClient({ url: hub.url }).auth.login(name, PASSWORD)
    return new ErrandClient({ url: hub.url, token })
  }
  const [anna, bert] = [await userOf('anna'), await userOf('bert')]
  /** Returns the final state and its reason. */
  const outcome = async (client: ErrandClient, bot: StartBotInput) => {
    await client.bots.start(bot)
    return await eventually('an outcome', async () => {
      const { state, reason, message = '' } = await client.bots.get(bot.bot_id)
      return ['running', 'crashed'].includes(state) && { state, reason, message }
    })
  }
  const bot = { bot_id: 'hers', docker_image: image, registry_auth: auth }
  assert.equal((await outcome(anna, bot)).state, 'running')

  const wrong = await outcome(bert, { ...bot, bot_id: 'his', registry_auth: { username, password: 'wrong' } })
  assert.equal(wrong.reason, 'pull_failed')
  assert.ok(!JSON.stringify(wrong).includes(password))
  const { registry_auth: _, ...without } = bot
  const taken = (await hub.engine.listImages()).filter(({ Id: id }) => id === Id)
  const names = [...taken.flatMap(({ RepoTags }) => RepoTags ?? []), Id, Id.slice(7), Id.slice(7, 19)]
  assert.ok(taken.length === 1 && names.length > 3, 'it is on the engine')
  for (const [index, docker_image] of [image, ...names].entries()) {
    const theirs = await outcome(bert, { ...without, bot_id: `his-${index}`, docker_image })
    assert.equal(theirs.state, 'crashed', docker_image)
    assert.match(theirs.reason!, /pull_failed|source_refused|invalid_argument/)
    const based = { code: 'print(1)', base_image: docker_image }
    const built = await outcome(bert, { bot_id: `built-${index}`, ...based })
    assert.equal(built.state, 'crashed', docker_image)
  }

  const { bots } = bert
  await assert.rejects(bots.get('hers'), { code: 'not_found' })
  await assert.rejects(bots.stop('hers'), { code: 'not_found' })
  await assert.rejects(bots.logs('hers'), { code: 'not_found' })
  await assert.rejects(bots.restart('hers'), { code: 'not_found' })
  await assert.rejects(bots.update('hers', {}), { code: 'not_found' })
  assert.ok(!(await bert.bots.list({ all: true })).bots.some(({ bot_id }) => bot_id === 'hers'))
  assert.equal((await anna.bots.get('hers')).state, 'running')
})

test('a token for a Git server serves one fetch: then it is gone, and the bot restarts without it', {
  skip,
}, async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'errand-private-git-'))
  t.after(() => rmSync(root, { recursive: true }))
  const git = await serveGit(root)
  t.after(() => git.close())
  const hub = await startBotHub(t, { runnerEnv: { ERRAND_GIT_ALLOW: git.origin() } })
  const { bots } = hub.client
  // The bot's build does not contain the password of the fetch either.
  makeRepository(join(root, 'bot.git'), [
    {
      path: 'Dockerfile',
      content: `FROM ${hub.images.busybox}\nCOPY . /app\nRUN env >/env; ls -a /app >>/env\nCMD cat /env; exec sleep 1000000\n`,
    },
  ])
  const token = 'a-token-of-the-git-server'
  git.intercept = needsLogin({ username: 'x-access-token', password: token })
  const git_url = `${git.origin()}/bot.git`

  await bots.start({ bot_id: 'public', git_url })
  const refused = await hub.until('public', 'crashed')
  assert.equal(refused.reason, 'source_refused')
  assert.match(refused.message!, /No public repository.*--git-token/)
  await bots.start({ bot_id: 'wrong', git_url, git_auth: { password: 'another-token' } })
  const wrong = await hub.until('wrong', 'crashed')
  assert.match(wrong.message!, /can be read with this token/)
  const events: unknown[] = []
  for await (const event of hub.client.events(wrong.run_id)) events.push(event)
  assert.ok(events.length > 3 && !JSON.stringify([wrong, events]).includes('another-token'))
  // A crashed bot can be started again with its secret, until it is stopped.
  assert.equal(storedSecrets(hub).length, 1)
  await bots.stop('wrong')
  assert.deepEqual(storedSecrets(hub), [])

  await hub.client.secrets.set('KEPT', { value: token })
  await bots.start({ bot_id: 'kept', git_url, git_auth: { secret: 'KEPT' } })
  await hub.until('kept', 'running')
  await hub.client.secrets.remove('KEPT')
  await bots.stop('kept')
  await hub.until('kept', 'stopped')
  await assert.rejects(bots.restart('kept'), { code: 'invalid_argument', hint: /errand secrets set KEPT/ })

  const first = await bots.start({ bot_id: 'echo', git_url, git_auth: { password: token } })
  await hub.until('echo', 'running')
  const printed = await hub.untilPrinted(first.run_id, 'Dockerfile\n')
  assert.ok(!printed.includes('TOKEN') && !printed.includes('PASSWORD') && !printed.includes('.git'), printed)
  await eventually('no secrets', () => storedSecrets(hub).length === 0)
  const forms = [token, Buffer.from(`x-access-token:${token}`).toString('base64').replace(/=*$/, '')]
  const container = await (await hub.containerOf('echo')).inspect()
  const image = hub.engine.getImage(container.Image)
  assertNowhere(hub, forms, [container, await image.inspect(), await image.history()])

  git.intercept = (_path, response) => {
    response.writeHead(500).end()
    return true
  }
  const again = await bots.restart('echo')
  await hub.untilPrinted(again.run_id, 'Dockerfile\n')
  assert.equal((await (await hub.containerOf('echo')).inspect()).Image, container.Image)
  await bots.stop('echo')
  await hub.until('echo', 'stopped')
  await eventually('no container', async () => (await hub.containers()).length === 0)
  await image.remove({ force: true })
  await bots.restart('echo')
  const gone = await hub.until('echo', 'crashed')
  assert.equal(gone.reason, 'pull_failed')
  assert.ok(
    gone.message!.endsWith(`variables: errand bot start echo --custom ${git_url} --git-token`),
    gone.message,
  )
})

test('a password for a registry serves one pull: then it is gone, and the bot restarts without it', {
  skip,
}, async (t) => {
  const { hub, registry, image, Id, auth } = await privateImage(t, 'echo "I am $NAME"; exec sleep 1000000')
  const { password } = auth
  const { bots } = hub.client
  const docker_image = image
  const bare = await bots.start({ bot_id: 'bare', docker_image, registry_auth: auth })
  const env_vars = { NAME: 'a name of nobody' }
  const full = await bots.start({ bot_id: 'full', docker_image, registry_auth: auth, env_vars })
  for (const id of ['bare', 'full']) await hub.until(id, 'running')
  await hub.untilPrinted(full.run_id, 'I am ***\n')

  await eventually('the secrets without it', () => storedSecrets(hub).join() === 'NAME')
  const forms = formsOf(password)
  const container = await hub.containerOf('full')
  assertNowhere(hub, forms, [await container.inspect(), await hub.engine.getImage(Id).inspect()])

  registry.pause()
  const imageOf = async (id: string) => (await (await hub.containerOf(id)).inspect()).Image
  const again = await bots.restart('full')
  await hub.untilPrinted(again.run_id, 'I am ***\n')
  assert.equal(await imageOf('full'), Id)
  await hub.kill('hub', 'runner')
  await hub.startHub()
  await hub.startRunner()
  await bots.stop('bare')
  await hub.until('bare', 'stopped')
  assert.notEqual((await bots.restart('bare')).run_id, bare.run_id)
  await hub.until('bare', 'running')
  assert.equal(await imageOf('bare'), Id)
  const { update } = await bots.update('full', { docker_image, env: { MORE: '1' } })
  await eventually('the update', async () => {
    const { run_id, state } = await bots.get('full')
    return run_id === update!.run_id && state === 'running'
  })
  assert.equal(await imageOf('full'), Id)

  for (const id of ['bare', 'full']) {
    await bots.stop(id)
    await hub.until(id, 'stopped')
  }
  const command = (id: string) => `errand bot start ${id} --image ${image} --username ${auth.username}`
  await assert.rejects(bots.restart('full'), {
    code: 'conflict',
    hint: new RegExp(`${command('full')} -e NAME$`),
  })
  await eventually('no container', async () => (await hub.containers()).length === 0)
  await hub.engine.getImage(Id).remove({ force: true })
  await bots.restart('bare')
  const gone = await hub.until('bare', 'crashed')
  assert.equal(gone.reason, 'pull_failed')
  assert.ok(gone.message!.endsWith(`variables: ${command('bare')}`), gone.message)
  registry.resume()
})
