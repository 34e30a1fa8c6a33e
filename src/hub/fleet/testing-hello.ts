/** The first frame of a runner, for tests. */
export const testingHello = {
  type: 'hello',
  protocol: 1,
  version: '0.1.0',
  runner_id: 'r1',
  boot_id: 'b1',
  storage_id: 's1',
  group: 'default',
  labels: {},
  mode: 'all',
  hostname: 'server-01',
  cpus: 4,
  memory_bytes: 1024 ** 3,
  slots: 2,
  attempts: [],
}
