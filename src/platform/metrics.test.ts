import assert from 'node:assert/strict'
import test from 'node:test'
import { Metrics } from './metrics.ts'

test('metrics are written in the text format of Prometheus', () => {
  const metrics = new Metrics()
  const runs = metrics.counter('runs_total', 'Runs that ended')
  const delay = metrics.histogram('delay_seconds', 'Delay', [0.1, 1, 10])
  let memory = 1
  metrics.gauge('memory_bytes', 'Memory', () => [{ value: memory }])
  metrics.counted('links_total', 'Links', () => [{ value: 3, labels: { group: 'a"\\\nb', kind: 'x' } }])
  runs.add(1, { status: 'success' })
  runs.add(2, { status: 'success' })
  runs.add(1, { status: 'failed' })
  for (const value of [0, 0.1, 0.5, 20]) delay.observe(value)
  memory = 7
  assert.equal(
    metrics.text(),
    `# HELP runs_total Runs that ended
# TYPE runs_total counter
runs_total{status="success"} 3
runs_total{status="failed"} 1
# HELP delay_seconds Delay
# TYPE delay_seconds histogram
delay_seconds_bucket{le="0.1"} 2
delay_seconds_bucket{le="1"} 3
delay_seconds_bucket{le="10"} 3
delay_seconds_bucket{le="+Inf"} 4
delay_seconds_sum 20.6
delay_seconds_count 4
# HELP memory_bytes Memory
# TYPE memory_bytes gauge
memory_bytes 7
# HELP links_total Links
# TYPE links_total counter
links_total{group="a\\"\\\\\\nb",kind="x"} 3
`,
  )
})
