import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EMPTY_IMAGE } from '../../docker/held-volumes.ts'
import { imageName, isPublicRegistry } from './image-name.ts'
import { imageSettings } from './image-supply.ts'

const digest = `sha256:${'0f'.repeat(32)}`

test('the registry of a large provider is recognized, and a lookalike is not', () => {
  for (const host of ['docker.io', 'ghcr.io', 'eu.gcr.io', 'europe-west1-docker.pkg.dev', 'me.azurecr.io'])
    assert.ok(isPublicRegistry(host), host)
  for (const host of [
    'ghcr.io:444',
    'xghcr.io',
    'ghcr.io.example.com',
    'a.b.gcr.io',
    'pkg.dev',
    '127.0.0.1',
    '',
  ])
    assert.ok(!isPublicRegistry(host), host)
})

test('image names are read as engines read them', () => {
  const cases: [string, string, string, string][] = [
    ['python', 'python:latest', 'python', 'docker.io'],
    ['docker.io/library/python:3.11', 'python:3.11', 'python', 'docker.io'],
    ['index.docker.io/user/bot', 'user/bot:latest', 'user/bot', 'docker.io'],
    ['localhost/bot', 'localhost/bot:latest', 'localhost/bot', 'localhost'],
    ['127.0.0.1:5000/a/b__c:v1', '127.0.0.1:5000/a/b__c:v1', '127.0.0.1:5000/a/b__c', '127.0.0.1:5000'],
    ['[::1]:5000/bot', '[::1]:5000/bot:latest', '[::1]:5000/bot', '[::1]:5000'],
    [`ghcr.io/user/bot:v1@${digest}`, `ghcr.io/user/bot@${digest}`, 'ghcr.io/user/bot', 'ghcr.io'],
    ['deadbeef', 'deadbeef:latest', 'deadbeef', 'docker.io'],
  ]
  for (const [name, text, repository, registry] of cases)
    assert.deepEqual(imageName(name), { text, repository, registry })
})

test("ids, names of bots' own images and invalid names are refused", () => {
  const bad = [
    '',
    ' ',
    'UPPER',
    'a b',
    'a\nRUN id',
    '-v',
    'a//b',
    '/a',
    'a/',
    'a:',
    'a:-x',
    'a@',
    'a@sha256:12',
    'a..b',
    'a___b',
    '$X',
    'a:b:c',
    'a@b@c',
    'exa mple.com/a',
    'http://x.org/a',
    'user:pass@host/a',
    '../a',
    `${'a'.repeat(255)}`,
    digest,
    digest.slice(7),
    'sha256:abc',
    'errand-bot',
    'errand-bot/x/built:a',
    'docker.io/errand-bot/x',
    'x.org/errand-bot/x',
    EMPTY_IMAGE,
  ]
  for (const name of bad) assert.throws(() => imageName(name), { code: 'invalid_argument' }, name)
})

test('patterns of local images match whole names, and every tag if they have none', () => {
  const fits = (patterns: string, name: string) =>
    imageSettings({ ERRAND_LOCAL_IMAGES: patterns }).localImages.some((pattern) =>
      pattern.test(imageName(name).text),
    )
  assert.ok(fits('bots/one', 'bots/one:v2'))
  assert.ok(fits('x, errand.test/*', 'errand.test/python:3.11-slim'))
  assert.ok(fits('host:5000/a', 'host:5000/a'))
  assert.ok(fits('bots/*:v1', 'bots/a/b:v1'))
  assert.ok(!fits('bots/one:v1', 'bots/one:v2'))
  assert.ok(!fits('bots/one', 'bots/one-more'))
  assert.ok(!fits('bots.x/a', 'botsyx/a'))
  assert.ok(!fits('', 'a'))
})

test('an unusable setting is named', () => {
  const wrong = {
    ERRAND_BUILD_MEMORY: 'much',
    ERRAND_BUILD_CPUS: '-1',
    ERRAND_BUILD_SECONDS: 'x',
    ERRAND_REGISTRY_ALLOW: 'a b',
  }
  for (const [variable, value] of Object.entries(wrong))
    assert.throws(() => imageSettings({ [variable]: value }), {
      code: 'invalid_argument',
      message: new RegExp(variable),
    })
})
