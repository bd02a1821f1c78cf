//! The directives of ModSecurity: their spelling, and the number of their arguments.

use std::ops::RangeInclusive;

/// A directive that ModSecurity knows.
#[derive(Debug)]
pub(super) struct Known {
    /// As the reference manual spells it.
    pub name: &'static str,
    pub arguments: RangeInclusive<usize>,
}

/// The directive of this name, whatever its case.
pub(super) fn known(name: &str) -> Option<&'static Known> {
    let at = KNOWN.binary_search_by(|known| compare(known.name, name));
    at.ok().and_then(|index| KNOWN.get(index))
}

/// Every directive there is, sorted without regard to case.
pub fn directive_names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.name)
}

fn compare(left: &str, right: &str) -> std::cmp::Ordering {
    let fold = |name: &str| -> Vec<u8> { name.bytes().map(|b| b.to_ascii_lowercase()).collect() };
    fold(left).cmp(&fold(right))
}

const MANY: usize = usize::MAX;

const fn takes(name: &'static str, min: usize, max: usize) -> Known {
    Known {
        name,
        arguments: min..=max,
    }
}

/// Sorted without regard to case.
///
/// Source: ModSecurity v2 Reference Manual, "Configuration Directives"; Apache's `Include`.
const KNOWN: &[Known] = &[
    takes("Include", 1, 1),
    takes("IncludeOptional", 1, 1),
    takes("SecAction", 1, 1),
    takes("SecArgumentSeparator", 1, 1),
    takes("SecArgumentsLimit", 1, 1),
    takes("SecAuditEngine", 1, 1),
    takes("SecAuditLog", 1, 1),
    takes("SecAuditLog2", 1, 1),
    takes("SecAuditLogDirMode", 1, 1),
    takes("SecAuditLogFileMode", 1, 1),
    takes("SecAuditLogFormat", 1, 1),
    takes("SecAuditLogParts", 1, 1),
    takes("SecAuditLogRelevantStatus", 1, 1),
    takes("SecAuditLogStorageDir", 1, 1),
    takes("SecAuditLogType", 1, 1),
    takes("SecCacheTransformations", 1, 2),
    takes("SecChrootDir", 1, 1),
    takes("SecCollectionTimeout", 1, 1),
    takes("SecComponentSignature", 1, 1),
    takes("SecConnEngine", 1, 1),
    takes("SecConnReadStateLimit", 1, 2),
    takes("SecConnWriteStateLimit", 1, 2),
    takes("SecContentInjection", 1, 1),
    takes("SecCookieFormat", 1, 1),
    takes("SecCookieV0Separator", 1, 1),
    takes("SecDataDir", 1, 1),
    takes("SecDebugLog", 1, 1),
    takes("SecDebugLogLevel", 1, 1),
    takes("SecDefaultAction", 1, 1),
    takes("SecDisableBackendCompression", 1, 1),
    takes("SecGeoLookupDb", 1, 1),
    takes("SecGsbLookupDb", 1, 1),
    takes("SecGuardianLog", 1, 2),
    takes("SecHashEngine", 1, 1),
    takes("SecHashKey", 2, 2),
    takes("SecHashMethodPm", 2, 2),
    takes("SecHashMethodRx", 2, 2),
    takes("SecHashParam", 1, 1),
    takes("SecHttpBlKey", 1, 1),
    takes("SecInterceptOnError", 1, 1),
    takes("SecMarker", 1, 1),
    takes("SecParseXmlIntoArgs", 1, 1),
    takes("SecPcreMatchLimit", 1, 1),
    takes("SecPcreMatchLimitRecursion", 1, 1),
    takes("SecReadStateLimit", 1, 2),
    takes("SecRemoteRules", 2, 3),
    takes("SecRemoteRulesFailAction", 1, 1),
    takes("SecRequestBodyAccess", 1, 1),
    takes("SecRequestBodyInMemoryLimit", 1, 1),
    takes("SecRequestBodyJsonDepthLimit", 1, 1),
    takes("SecRequestBodyLimit", 1, 1),
    takes("SecRequestBodyLimitAction", 1, 1),
    takes("SecRequestBodyNoFilesLimit", 1, 1),
    takes("SecRequestEncoding", 1, 1),
    takes("SecResponseBodyAccess", 1, 1),
    takes("SecResponseBodyLimit", 1, 1),
    takes("SecResponseBodyLimitAction", 1, 1),
    takes("SecResponseBodyMimeType", 1, MANY),
    takes("SecResponseBodyMimeTypesClear", 0, 0),
    takes("SecRule", 2, 3),
    takes("SecRuleEngine", 1, 1),
    takes("SecRuleInheritance", 1, 1),
    takes("SecRulePerfTime", 1, 1),
    takes("SecRuleRemoveById", 1, MANY),
    takes("SecRuleRemoveByMsg", 1, MANY),
    takes("SecRuleRemoveByTag", 1, MANY),
    takes("SecRuleScript", 1, 2),
    takes("SecRuleUpdateActionById", 2, 2),
    takes("SecRuleUpdateTargetById", 2, 3),
    takes("SecRuleUpdateTargetByMsg", 2, 3),
    takes("SecRuleUpdateTargetByTag", 2, 3),
    takes("SecSensorId", 1, 1),
    takes("SecServerSignature", 1, 1),
    takes("SecStatusEngine", 1, 1),
    takes("SecStreamInBodyInspection", 1, 1),
    takes("SecStreamOutBodyInspection", 1, 1),
    takes("SecTmpDir", 1, 1),
    takes("SecTmpSaveUploadedFiles", 1, 1),
    takes("SecUnicodeCodePage", 1, 1),
    takes("SecUnicodeMapFile", 1, 2),
    takes("SecUploadDir", 1, 1),
    takes("SecUploadFileLimit", 1, 1),
    takes("SecUploadFileMode", 1, 1),
    takes("SecUploadKeepFiles", 1, 1),
    takes("SecWebAppId", 1, 1),
    takes("SecWriteStateLimit", 1, 2),
    takes("SecXmlExternalEntity", 1, 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for entry in KNOWN {
            let shouted = entry.name.to_ascii_uppercase();
            assert_eq!(known(&shouted).map(|k| k.name), Some(entry.name));
        }
        assert!(known("SecNothing").is_none());
        assert!(known("").is_none());
    }
}
