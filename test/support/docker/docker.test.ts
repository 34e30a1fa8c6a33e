import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test from 'node:test'
import { runTestFiles } from '../../../scripts/test-files.ts'
import { Schedule } from '../../../scripts/test-schedule.ts'
import { eventually } from '../errand-command.ts'
import { baseImage, dockerFor, dockerHere, labelled, removeLabelled, type TestDocker } from './docker.ts'
import { startImageRegistry } from './image-registry.ts'

const skip = await dockerHere()

test('everything that a test creates in Docker is gone after it', { skip }, async (t) => {
  let label = ''
  await t.test('creates a container, a network, a volume and an image', async (t) => {
    const docker = dockerFor(t)
    label = `errand.test=${docker.labels['errand.test']}`
    const image = await baseImage('busybox:latest')
    const volume = docker.name('data')
    await docker.engine.createVolume({ Name: volume, Labels: docker.labels })
    await docker.engine.createNetwork({ Name: docker.name('net'), Labels: docker.labels })
    const container = await docker.engine.createContainer({
      Image: image,
      Cmd: ['sh', '-c', 'echo there >/data/file; sleep 1000'],
      Labels: docker.labels,
      HostConfig: { Binds: [`${volume}:/data`], NetworkMode: docker.name('net') },
    })
    await container.start()
    await container.commit({ repo: docker.name('image') })
    const { containers, networks, volumes, images } = await labelled(label)
    assert.deepEqual([containers.length, networks.length, volumes.length, images.length], [1, 1, 1, 1])
  })
  assert.deepEqual(await labelled(label), { containers: [], networks: [], volumes: [], images: [] })
})

test('everything that a test file had in Docker when it was ended is gone', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'errand-ended-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const url = (name: string) => JSON.stringify(new URL(name, import.meta.url).href)
  writeFileSync(
    join(folder, 'hangs.test.mjs'),
    `import { writeFileSync } from 'node:fs'
     import test from 'node:test'
     import { botNetworkFor } from ${url('bot-network.ts')}
     import { baseImage, dockerFor } from ${url('docker.ts')}
     test('hangs', async (t) => {
       const { DOCKER_NETWORK } = botNetworkFor(t)
       const { engine, labels } = dockerFor(t)
       await engine.createNetwork({ Name: DOCKER_NETWORK, Labels: { by: DOCKER_NETWORK } })
       const create = async (more) => {
         const Cmd = ['sleep', '1000']
         const container = await engine.createContainer({ Image: await baseImage('busybox:latest'), Cmd, ...more })
         await container.start()
       }
       await create({ Labels: labels })
       await create({ Labels: { by: DOCKER_NETWORK }, HostConfig: { NetworkMode: DOCKER_NETWORK } })
       writeFileSync(${JSON.stringify(join(folder, 'made'))}, ['errand.test=' + labels['errand.test'], 'by=' + DOCKER_NETWORK].join(' '))
       await new Promise(() => setInterval(() => {}, 1000))
     })`,
  )
  const stop = new AbortController()
  const schedule = new Schedule([{ file: 'hangs.test.mjs', services: ['docker'] }], { cores: 1, most: 1 })
  const results = runTestFiles(folder, schedule, { silenceMs: 120_000, stop: stop.signal })
  await eventually('two containers and a network', () => existsSync(join(folder, 'made')))
  stop.abort()
  const result = (await results).get('hangs.test.mjs')!
  assert.deepEqual([result.stopped, result.failures], [true, []])
  for (const label of readFileSync(join(folder, 'made'), 'utf8').split(' '))
    assert.deepEqual(await labelled(label), { containers: [], networks: [], volumes: [], images: [] }, label)
})

test('images built on each other are removed, except one that another test uses, which goes with that test', {
  skip,
}, async (t) => {
  const another = dockerFor(t)
  const on = async (image: string, { engine, labels, name }: TestDocker, suffix: string) => {
    const container = await engine.createContainer({ Image: image, Labels: labels })
    return (await container.commit({ repo: name(suffix) })).Id as string
  }
  const row = [await baseImage('busybox:latest')]
  await t.test('creates a chain of images, with one of another test on the second', async (t) => {
    const docker = dockerFor(t)
    for (const suffix of ['one', 'two', 'three']) row.push(await on(row.at(-1)!, docker, suffix))
    await on(row[2]!, another, 'other')
  })
  const { engine } = another
  const namesOf = async (id: string) => (await engine.getImage(id).inspect()).RepoTags
  assert.deepEqual([await namesOf(row[1]!), await namesOf(row[2]!)], [[], []])
  await removeLabelled(`errand.test=${another.labels['errand.test']}`)
  for (const id of row.slice(1)) await assert.rejects(namesOf(id), { statusCode: 404 })
})

test('the stand-in images run the programs that they replace', { skip }, async (t) => {
  const docker = dockerFor(t)
  const names = [
    ['busybox:latest', ['sh', '-c', 'echo shell'], /^shell/],
    ['node:20-slim', ['node', '-p', '`node ${process.version}`'], /^node v\d+/],
    ['python:3.11-slim', ['python', '-c', 'import ssl, sys; print(sys.version)'], /^3\.\d+/],
    [
      'node:24-slim',
      ['sh', '-c', 'node --version && npm --version && apt-get --version'],
      /^v24\..*\n[\d.]+\napt /,
    ],
  ] as const
  for (const [name, command, expected] of names) {
    const container = await docker.engine.createContainer({
      Image: await baseImage(name),
      Cmd: [...command],
      Labels: docker.labels,
      Tty: true,
    })
    await container.start()
    await container.wait()
    const printed = (await container.logs({ stdout: true, stderr: true })).toString().replaceAll('\r', '')
    assert.match(printed, expected, name)
  }
})

test('the image registry distinguishes the right password from a wrong one and from none', {
  skip,
}, async (t) => {
  const docker = dockerFor(t)
  const { address, username, password } = await startImageRegistry(t)
  const container = await docker.engine.createContainer({
    Image: await baseImage('busybox:latest'),
    Labels: docker.labels,
  })
  const name = `${address}/bots/one`
  await container.commit({ repo: name, tag: 'v1' })
  const failure = async (authconfig: object | undefined): Promise<string | undefined> => {
    const stream = await docker.engine.getImage(`${name}:v1`).push({ authconfig })
    const printed = await text(stream)
    return /"error":"([^"]*)"/.exec(printed)?.[1]
  }
  assert.equal(await failure({ username, password, serveraddress: address }), undefined)
  assert.match((await failure({ username, password: 'wrong', serveraddress: address }))!, /unauthorized/)
  assert.match((await failure({ serveraddress: address }))!, /no basic auth/)
})
