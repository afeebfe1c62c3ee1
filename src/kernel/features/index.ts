export { hasFeature, KERNEL_FEATURES, type KernelFeature, type KernelFeatureInfo } from './kernel-features.ts'
export { probeHelper, probeIsa, probeMapFlag, probeMapType, probeProgType, type IsaFeature } from './probes.ts'
