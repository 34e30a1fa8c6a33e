import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testingBuild } from '../../test/support/docker/build-fixture.ts'
import { dockerHere } from '../../test/support/docker/docker.ts'
import { dockerUnderTest } from '../../test/support/docker/docker-under-test.ts'
import { despiteRemovals } from './docker-errors.ts'

const skip = await dockerHere()

test('builds of the same layers do not fail while other such layers are removed', { skip }, async (t) => {
  const { engine, runner, image } = await dockerUnderTest(t)
  await engine.prepareNetwork()
  const Dockerfile = `FROM ${image}\nENV RUNNER=${runner}\nCOPY one /\nCOPY two /\n`
  const buildAndRemove = async (name: string): Promise<void> => {
    for (let round = 0; round < 10; round++) {
      const files = { Dockerfile, one: '1', two: name }
      const { id } = await engine.build(
        testingBuild(runner, files, { name: `errand.test/${runner}:${name}` }),
      )
      const found = await engine.images({ runner })
      assert.ok(found.some((other) => other.id === id))
      assert.equal(await engine.removeImage(id), true)
    }
  }
  await Promise.all(['a', 'b', 'c', 'd'].map(buildAndRemove))
  assert.deepEqual(await engine.images({ runner }), [])
})

test('any other failure is thrown at once, and a persistent one is thrown in the end', async () => {
  let calls = 0
  const failing = (message: string) => () => {
    calls++
    return Promise.reject(new Error(message))
  }
  const command = "The command '/bin/sh -c echo unrecognized image ID' returned a non-zero code: 1"
  await assert.rejects(despiteRemovals(failing(command)), { message: command })
  assert.equal(calls, 1)
  const lost = '(HTTP code 500) server error - unrecognized image ID sha256:4f22 '
  await assert.rejects(despiteRemovals(failing(lost)), { message: lost })
  assert.equal(calls, 9)
})
