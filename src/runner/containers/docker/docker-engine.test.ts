import { dockerHere } from '../../../../test/support/docker/docker.ts'
import { dockerUnderTest } from '../../../../test/support/docker/docker-under-test.ts'
import { containerEngineConformance } from '../container-engine-conformance.ts'

containerEngineConformance('docker', await dockerHere(), dockerUnderTest)
