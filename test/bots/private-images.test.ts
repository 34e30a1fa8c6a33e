import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import test, { type TestContext } from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import type { StartBotInput } from '../../src/contract/bot-api.ts'
import { botsHere, startBotHub } from '../support/bot-hub.ts'
import { dockerFor } from '../support/docker/docker.ts'
import { startImageRegistry } from '../support/docker/image-registry.ts'
import { eventually } from '../support/errand-command.ts'
import { readIfThere } from '../support/programs-output.ts'

const skip = await botsHere()
const PASSWORD = 'not-a-word-of-it'

/** A hub, and a registry with an image of Anna behind its password. */
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

test('an image that one user pulled with a password is started by no other, who does not even see the bot', {
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
  /** The state and reason that it comes to. */
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

test('a password of a registry serves one pull: then it is nowhere, and the bot begins again without it', {
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

  const secrets = () => {
    const db = new DatabaseSync(join(hub.data, 'errand.db'), { readOnly: true })
    const names = db.prepare('SELECT name FROM secrets').all()
    db.close()
    return names.map(({ name }) => name)
  }
  await eventually('the secrets without it', () => secrets().join() === 'NAME')
  const forms = ['utf8', 'base64', 'hex'].map((form) =>
    Buffer.from(password)
      .toString(form as BufferEncoding)
      .replace(/=*$/, ''),
  )
  const holds = (bytes: Buffer | string) => forms.some((form) => bytes.includes(form))
  const files = globSync('**/*', { cwd: hub.home, withFileTypes: true }).filter((entry) => entry.isFile())
  assert.ok(files.length > 10, 'there are files')
  const paths = files.map(({ parentPath, name }) => join(parentPath, name))
  assert.deepEqual(
    paths.filter((path) => holds(readIfThere(path))),
    [],
  )
  const container = await hub.containerOf('full')
  assert.ok(!holds(JSON.stringify([await container.inspect(), await hub.engine.getImage(Id).inspect()])))
  for (const { printed } of [hub.hub, hub.runner!]) assert.ok(!holds(JSON.stringify(printed)))

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
  assert.ok(gone.message!.endsWith(`again: ${command('bare')}`), gone.message)
  registry.resume()
})
