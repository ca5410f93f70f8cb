// Test isolation
import '../isolate.test.ts'
import '../isolation-lost.test.ts'
