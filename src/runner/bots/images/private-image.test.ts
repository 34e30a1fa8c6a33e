import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { baseImage, dockerHere } from '../../../../test/support/docker/docker.ts'
import { startImageRegistry } from '../../../../test/support/docker/image-registry.ts'
import { imagesUnderTest } from '../../../../test/support/docker/images-under-test.ts'
import type { ImageOrder } from './image-order.ts'
import { PulledNames } from './pulled-names.ts'

const skip = await dockerHere()

/** Makes a registry with an image that prints "private" behind its password, and nothing of it at the engine. */
async function privateRegistry(t: TestContext, env: Readonly<Record<string, string>> = {}) {
  const registry = await startImageRegistry(t)
  const { address, username, password } = registry
  const images = await imagesUnderTest(t, {
    ERRAND_REGISTRY_ALLOW: address,
    ERRAND_LOCAL_IMAGES: `errand.test/*,${address}/listed/*`,
    ...env,
  })
  const { docker, engine } = images
  const repository = `${address}/listed/bot`
  const container = await docker.engine.createContainer({
    Image: await baseImage('busybox:latest'),
    Cmd: ['echo', 'private'],
    Labels: docker.labels,
  })
  await container.commit({ repo: repository, tag: 'v1' })
  const name = `${repository}:v1`
  const pushed = await docker.engine
    .getImage(name)
    .push({ authconfig: { username, password, serveraddress: address } })
  const digest = /sha256:[0-9a-f]{64}/.exec(await text(pushed))![0]
  assert.equal(await engine.removeImage(name), true)
  const source = (image: string, user?: string): ImageOrder['source'] => ({
    mode: 'image',
    image,
    ...(user === undefined ? {} : { registry_auth: { username: user, password_secret: 'PASSWORD' } }),
  })
  return { ...images, registry, address, name, digest: `${repository}@${digest}`, source, username, password }
}

test('an image pulled with credentials belongs to its owner alone', { skip }, async (t) => {
  const { prepare, run, engine, docker, name, digest, source, username, password, lines, stateDir } =
    await privateRegistry(t)
  const ann = { owner: 'default/ann', secret: () => password }
  const { id, title } = await prepare(source(name, username), ann)
  assert.equal(title, name)
  assert.equal(await run(id), 'private\n')
  const { names, digests } = (await engine.image(id))!
  assert.equal(names.length, 1)
  assert.match(names[0]!, /^errand-bot\/[0-9a-f]{40}\/pulled:/)
  assert.deepEqual(digests, [])

  const ben = { owner: 'default/ben', secret: () => 'wrong' }
  const refused = (image: string, code: string, user?: string) =>
    assert.rejects(prepare(source(image, user), ben), { code }, image)
  await refused(name, 'pull_refused')
  await refused(name, 'pull_refused', username)
  await refused(digest, 'pull_refused')
  await refused(digest, 'pull_refused', username)
  for (const image of [id, names[0]!, `docker.io/${names[0]}`, id.slice(7)])
    await refused(image, 'invalid_argument')
  await refused(id.slice(7, 19), 'pull_refused')
  const file = (image: string): ImageOrder['source'] => ({
    mode: 'simple',
    files: { 'bot.py': '' },
    entrypoint: 'bot.py',
    requirements: [],
    base_image: image,
  })
  for (const image of [name, digest, id.slice(7, 19)])
    await assert.rejects(prepare(file(image), ben), { code: 'pull_refused' }, image)

  // She gets it again, by tag or digest, and it does not stay under that name either.
  assert.equal((await prepare(source(digest, username), ann)).id, id)
  assert.deepEqual((await engine.image(id))!.digests, [])
  for (const each of readdirSync(join(stateDir, 'pulled')))
    assert.match(readFileSync(join(stateDir, 'pulled', each), 'utf8'), /"errand-bot\//)
  assert.doesNotMatch(lines.join('\n'), new RegExp(password))
  const about = JSON.stringify(await docker.engine.getImage(id).inspect())
  assert.doesNotMatch(about, new RegExp(password))
  // One of her two names can be removed; a container holds the image by the other.
  assert.equal((await new PulledNames(stateDir, engine).sweep(0, Date.now() + 1)).length, 1)
  assert.equal((await engine.image(id))!.names.length, 1)
})

test('once pulled, its owner uses the local image without the registry', { skip }, async (t) => {
  const { prepare, run, engine, name, source, username, password, registry } = await privateRegistry(t)
  const labels = { runner: 'r', bot: 'my-Bot', attempt: 'run_1.1', owner: 'default/ann' }
  const { id } = await prepare(source(name, username), { labels, secret: () => password })
  registry.pause()
  const pulled = { username, attempt_id: labels.attempt }
  const again = (order: Partial<ImageOrder> = {}) =>
    prepare({ mode: 'image', image: name, pulled }, { labels: { ...labels, attempt: 'run_2.1' }, ...order })
  assert.equal((await again()).id, id)
  assert.equal((await prepare(source(name, username), { labels })).id, id)
  assert.equal(await run(id), 'private\n')
  await assert.rejects(again({ labels: { ...labels, owner: 'default/ben' } }), { code: 'pull_refused' })
  registry.resume()
  const { names } = (await engine.image(id))!
  assert.equal(names.length, 1)
  // Somebody has given the name to another image.
  await engine.tag(await baseImage('busybox:latest'), names[0]!)
  t.after(() => engine.removeImage(names[0]!))
  await assert.rejects(again(), { code: 'pull_refused' })
})

test('simultaneous pulls of one image, with and without credentials, leave no name that others know', {
  skip,
}, async (t) => {
  const { prepare, engine, name, source, username, password } = await privateRegistry(t)
  const pulls = ['ann', 'cid', 'dan'].map((owner) =>
    prepare(source(name, username), { owner, secret: () => password }),
  )
  const ben = Array.from({ length: 5 }, () => assert.rejects(prepare(source(name)), { code: 'pull_refused' }))
  const [first, ...others] = await Promise.all(pulls)
  await Promise.all(ben)
  for (const { id } of others) assert.equal(id, first!.id)
  const { names, digests } = (await engine.image(first!.id))!
  assert.equal(names.filter((each) => each.startsWith('errand-bot/')).length, 3)
  assert.deepEqual([names.length, digests], [3, []])
})

test('a name that was already on the engine keeps its meaning', { skip }, async (t) => {
  const { prepare, engine, docker, name, source, username, password } = await privateRegistry(t)
  const container = await docker.engine.createContainer({
    Image: await baseImage('busybox:latest'),
    Labels: docker.labels,
  })
  await container.commit({ repo: name.slice(0, name.lastIndexOf(':')), tag: 'v1', comment: "the operator's" })
  const before = (await engine.image(name))!
  const { id } = await prepare(source(name, username), { secret: () => password })
  assert.notEqual(id, before.id)
  assert.equal((await engine.image(name))!.id, before.id)
  assert.deepEqual((await engine.image(id))!.digests, [])
  assert.equal((await prepare(source(name))).id, before.id)
})

test('an unavailable image says why, and what the operator can do', { skip }, async (t) => {
  const { prepare, engine, address, name, source } = await privateRegistry(t, { ERRAND_REGISTRY_ALLOW: '' })
  await assert.rejects(prepare(source(name)), {
    code: 'source_refused',
    message: `This runner does not pull images from the registry ${address}.`,
    hint: `The operator of the runner can allow it: ERRAND_REGISTRY_ALLOW=${address}.`,
  })
  await assert.rejects(prepare(source(name, 'bot')), {
    code: 'pull_refused',
    message: /is not on this runner, and the password that it was pulled with is not stored/,
    hint: `Start the bot again with its password and secret variables: errand bot start my-Bot --image ${name} --username bot`,
  })
  const { prepare: allowed } = await imagesUnderTest(t, { ERRAND_REGISTRY_ALLOW: '127.0.0.1:1' })
  await assert.rejects(allowed(source('127.0.0.1:1/none')), {
    code: 'pull_refused',
    message: /does not answer/,
    hint: /ERRAND_LOCAL_IMAGES=127\.0\.0\.1:1\/none:latest/,
  })
  assert.equal(
    (await allowed(source('errand.test/busybox'))).id,
    (await engine.image('errand.test/busybox'))!.id,
  )
})
