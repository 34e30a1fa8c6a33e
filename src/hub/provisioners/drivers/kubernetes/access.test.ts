import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type TestContext } from 'node:test'
import type { ProvisionError } from '../../provisioner.ts'
import { readAccess } from './access.ts'

function folderOf(t: TestContext, files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-access-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

const b64 = (text: string) => Buffer.from(text).toString('base64')
const CONFIG = `
current-context: test
clusters:
  - {name: one, cluster: {server: "https://127.0.0.1:6443/", certificate-authority-data: ${b64('CA')}}}
  - {name: two, cluster: {server: "https://10.0.0.9:6443", insecure-skip-tls-verify: true, tls-server-name: api}}
users:
  - {name: cert, user: {client-certificate-data: ${b64('CERT')}, client-key: key.pem}}
  - {name: file, user: {token: old, tokenFile: token}}
  - {name: aws, user: {exec: {command: aws}}}
  - {name: old, user: {auth-provider: {name: gcp}}}
  - {name: basic, user: {username: me, password: secret}}
contexts:
  - {name: test, context: {cluster: one, user: cert}}
  - {name: token, context: {cluster: two, user: file, namespace: runners}}
  - {name: exec, context: {cluster: one, user: aws}}
  - {name: provider, context: {cluster: one, user: old}}
  - {name: basic, context: {cluster: one, user: basic}}
  - {name: hole, context: {cluster: three, user: cert}}
`

test('a kubeconfig says how to reach the cluster, inline or with files next to it', async (t) => {
  const folder = folderOf(t, { config: CONFIG, 'key.pem': 'KEY', token: 'fresh\n' })
  const kubeconfig = join(folder, 'config')
  assert.deepEqual(await readAccess({ kubeconfig, env: {} }), {
    ...{ server: 'https://127.0.0.1:6443', ca: 'CA', insecure: false, serverName: undefined },
    ...{ cert: 'CERT', key: 'KEY', token: undefined, namespace: 'default' },
  })
  assert.deepEqual(await readAccess({ kubeconfig, context: 'token', env: {} }), {
    ...{ server: 'https://10.0.0.9:6443', ca: undefined, insecure: true, serverName: 'api' },
    ...{ cert: undefined, key: undefined, token: 'fresh', namespace: 'runners' },
  })
})

test('in a pod, the service account says how to reach the cluster', async (t) => {
  const serviceAccount = folderOf(t, { token: 'tok\n', 'ca.crt': 'CA', namespace: 'errand' })
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }
  assert.deepEqual(await readAccess({ env, serviceAccount }), {
    ...{ server: 'https://[fd00::1]:6443', ca: 'CA', insecure: false, token: 'tok', namespace: 'errand' },
  })
  await assert.rejects(readAccess({ env, serviceAccount: join(serviceAccount, 'no') }), /cannot be read/)
})

test('names each mistake, and says what to do', async (t) => {
  const folder = folderOf(t, {
    config: CONFIG,
    list: '- a\n',
    broken: '{',
    empty: 'contexts: []\nclusters: []\nusers: []\n',
  })
  const cases: [string, string | undefined, RegExp, RegExp][] = [
    ['none', undefined, /none cannot be read: ENOENT/, /must be able to read it/],
    ['list', undefined, /is not a valid kubeconfig: /, /kubectl config view/],
    ['broken', undefined, /is not valid YAML/, /is a kubeconfig/],
    ['empty', undefined, /has no current context\.$/, /has none/],
    ['config', 'other', /has no context "other"\.$/, /It has: test, token/],
    ['config', 'hole', /has no cluster "three"\.$/, /It has: one, two/],
    ['config', 'exec', /logs in with a program \(exec\)/, /service account/],
    ['config', 'provider', /logs in with an auth-provider/, /service account/],
    ['config', 'basic', /logs in with a name and password/, /service account/],
    ['config', 'test', /key\.pem cannot be read: ENOENT/, /names it/],
  ]
  for (const [file, context, message, hint] of cases)
    await assert.rejects(
      readAccess({ kubeconfig: join(folder, file), context, env: {} }),
      (error: ProvisionError) => {
        assert.match(error.message, message)
        assert.match(error.hint!, hint)
        return error.permanent
      },
    )
  await assert.rejects(readAccess({ env: {} }), (error: ProvisionError) => {
    assert.match(error.message, /the hub does not run in a pod, and the group names no kubeconfig\.$/)
    return error.permanent
  })
})
