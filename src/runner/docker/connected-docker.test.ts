import { dockerHere } from '../../../test/support/docker/docker.ts'
import { containerEngineConformance } from '../../../test/support/docker/docker-engine-conformance.ts'
import { dockerUnderTest } from '../../../test/support/docker/docker-under-test.ts'

containerEngineConformance('docker', await dockerHere(), dockerUnderTest)
