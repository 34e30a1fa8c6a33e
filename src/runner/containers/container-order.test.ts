import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Mount } from '../sandbox/mounts.ts'
import { containerBody } from './container-order.ts'
import { bind } from './container-spec.ts'

const engine = { id: 'e', arch: 'amd64', hasSeccomp: true, isRootless: false, cpus: 2 }
const image = {
  ...{ name: 'image', id: 'sha256:1', engine, path: ['/bin'], volumes: ['/data'], user: '7:8' },
  ...{ loaders: [], tools: {}, runsNode: false },
}

function order(mounts: readonly Mount[], limits = {}) {
  const { HostConfig, ...rest } = containerBody({
    ...{ image, mounts, more: [bind('/d/in', '/run/errand')], etc: ['/s/passwd'], io: '/a/io' },
    ...{ limits, labels: { a: 'b' }, env: [] },
  })
  return { ...rest, host: HostConfig as typeof HostConfig & { Tmpfs: Record<string, string> } }
}

test('each path is mounted once: writable before readable, and our own before all others', () => {
  const { host } = order([
    { kind: 'readable', path: '/etc/ca.crt', source: '/one' },
    { kind: 'readable', path: '/etc/ca.crt', source: '/one' },
    { kind: 'readable', path: '/etc/passwd', source: '/etc/passwd' },
    { kind: 'readable', path: '/w', source: '/w' },
    { kind: 'writable', path: '/w/', source: '/w' },
    { kind: 'hidden_folder', path: '/w/own', source: '/w/own' },
    { kind: 'hidden_file', path: '/w/token', source: '/w/token' },
  ])
  assert.deepEqual(
    host.Mounts.map(({ Source, Target, ReadOnly }) => `${Source} ${Target}${ReadOnly ? '' : ' rw'}`).sort(),
    [
      '/a/io /run/errand-io',
      '/d/in /run/errand',
      '/dev/null /w/token',
      '/one /etc/ca.crt',
      '/s/passwd /etc/passwd',
      '/w /w rw',
    ],
  )
  assert.deepEqual(Object.keys(host.Tmpfs), ['/tmp', '/home/errand', '/data', '/w/own'])
})

test('an order stays within the limits, and asks for no more cores than there are', () => {
  const { host } = order([], { cpus: 8, memory_bytes: 1024 })
  assert.deepEqual(
    [host.NanoCpus, host.Memory, host.MemorySwap, host.PidsLimit],
    [2e9, 1024, 1024, undefined],
  )
  assert.deepEqual([host.NetworkMode, host.CapDrop, host.ReadonlyRootfs], ['none', ['ALL'], true])
})

test('the filter allows nothing that a sandbox refuses, and only network sockets', () => {
  const { host } = order([])
  const text = (host.SecurityOpt as string[]).find((each) => each.startsWith('seccomp='))!
  const { defaultAction, syscalls } = JSON.parse(text.slice('seccomp='.length))
  assert.equal(defaultAction, 'SCMP_ACT_ERRNO')
  const allowed = (name: string) =>
    syscalls.filter((rule: { names: string[]; action: string }) => rule.names.includes(name))
  for (const name of [
    'ptrace',
    'process_vm_readv',
    'mount',
    'unshare',
    'setns',
    'bpf',
    'keyctl',
    'io_uring_setup',
  ])
    assert.deepEqual(allowed(name), [], name)
  assert.deepEqual(
    allowed('socket').map(({ args }: { args: { value: number }[] }) => args.map(({ value }) => value)),
    [[1], [2], [10], [16, 0]],
  )
  const masks = (name: string) =>
    allowed(name).map(({ args }: { args: { index: number; value: number }[] }) =>
      args.map(({ index, value }) => [index, value]),
    )
  assert.deepEqual(masks('fchmodat'), [[[2, 0o6000]]])
  // Nothing is created if the flags do not say so.
  assert.deepEqual(masks('openat'), [[[3, 0o6000]], [[2, 0o20000100]]])
  assert.deepEqual(
    allowed('openat2').map(({ action, errnoRet }: Record<string, unknown>) => [action, errnoRet]),
    [['SCMP_ACT_ERRNO', 38]],
  )
})
