import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { ErrandClient } from '../../src/client/client.ts'
import type { StartBotInput } from '../../src/contract/bot-api.ts'
import { botsHere, startBotHub } from '../support/bot-hub.ts'
import { dockerFor } from '../support/docker/docker.ts'
import { startImageRegistry } from '../support/docker/image-registry.ts'
import { eventually } from '../support/errand-command.ts'

const skip = await botsHere()
const PASSWORD = 'not-a-word-of-it'

test('an image that one user pulled with a password is started by no other, who does not even see the bot', {
  skip,
}, async (t) => {
  const docker = dockerFor(t)
  const { address, username, password } = await startImageRegistry(t)
  const hub = await startBotHub(t, { runnerEnv: { ERRAND_REGISTRY_ALLOW: address } })
  const image = `${address}/anna/private:v1`
  const container = await docker.engine.createContainer({
    Image: hub.images.busybox,
    Cmd: ['sh', '-c', 'echo a secret of Anna; exec sleep 1000000'],
    Labels: docker.labels,
  })
  const { Id } = await container.commit({ repo: `${address}/anna/private`, tag: 'v1' })
  const pushed = await docker.engine.getImage(image).push({
    authconfig: { username, password, serveraddress: address },
  })
  assert.doesNotMatch(await text(pushed), /"error"/)
  await container.remove()
  await docker.engine.getImage(image).remove({ force: true })

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
  const auth = { username, password }
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
  assert.ok(!readFileSync(join(hub.data, 'errand.db')).includes(password))
})
