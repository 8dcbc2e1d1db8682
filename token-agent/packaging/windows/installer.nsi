; The agent's installer for Windows: for all users, silent with /S, started from the start menu.
; makensis -DVERSION=… -DSOURCE=folder-with-exes -DOUTPUT=file installer.nsi

Unicode true
Target amd64-unicode
SetCompressor /SOLID lzma
; The two programs are nearly the same: within reach of each other they are packed once.
SetCompressorDictSize 64
RequestExecutionLevel admin
ManifestSupportedOS Win10

!include "MUI2.nsh"
!include "FileFunc.nsh"

Name "Inro Agent"
OutFile "${OUTPUT}"
InstallDir "$PROGRAMFILES64\Inro Agent"
InstallDirRegKey HKLM "Software\Inro\Agent" "Folder"
BrandingText "Inro Agent ${VERSION}"
VIProductVersion "${VERSION}.0"
VIAddVersionKey "ProductName" "Inro Agent"
VIAddVersionKey "FileDescription" "Inro Agent"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "LegalCopyright" "MIT OR Apache-2.0"

!define UNINSTALL "Software\Microsoft\Windows\CurrentVersion\Uninstall\InroAgent"

!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_LICENSE "${SOURCE}/LICENSE.txt"
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "Japanese"
!insertmacro MUI_LANGUAGE "English"

LangString START ${LANG_JAPANESE} "証明書発行アプリ"
LangString START ${LANG_ENGLISH} "Certificate agent"

Section "Inro Agent"
	SetShellVarContext all
	SetRegView 64
	SetOutPath "$INSTDIR"
	File "${SOURCE}/inro-agent.exe"
	; The same program, marked as one that has no console.
	File "${SOURCE}/inro-agent-window.exe"
	File "${SOURCE}/LICENSE.txt"
	File "${SOURCE}/agent.toml"
	File "${SOURCE}/policy.toml"
	; The administrator's policy and presets: nobody else writes there.
	CreateDirectory "$APPDATA\Inro"
	nsExec::Exec 'icacls "$APPDATA\Inro" /setowner *S-1-5-32-544 /T /C'
	Pop $0
	nsExec::Exec 'icacls "$APPDATA\Inro" /inheritance:r /grant:r *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F *S-1-5-32-545:(OI)(CI)RX'
	Pop $0
	CreateShortCut "$SMPROGRAMS\$(START).lnk" "$INSTDIR\inro-agent-window.exe" "gui"
	WriteUninstaller "$INSTDIR\uninstall.exe"
	WriteRegStr HKLM "Software\Inro\Agent" "Folder" "$INSTDIR"
	; So that the uninstaller finds the entry whatever language it runs in.
	WriteRegStr HKLM "Software\Inro\Agent" "StartMenu" "$SMPROGRAMS\$(START).lnk"
	WriteRegStr HKLM "${UNINSTALL}" "DisplayName" "Inro Agent"
	WriteRegStr HKLM "${UNINSTALL}" "DisplayVersion" "${VERSION}"
	WriteRegStr HKLM "${UNINSTALL}" "Publisher" "Inro"
	WriteRegStr HKLM "${UNINSTALL}" "InstallLocation" "$INSTDIR"
	WriteRegStr HKLM "${UNINSTALL}" "DisplayIcon" "$INSTDIR\inro-agent-window.exe"
	WriteRegStr HKLM "${UNINSTALL}" "UninstallString" '"$INSTDIR\uninstall.exe"'
	WriteRegStr HKLM "${UNINSTALL}" "QuietUninstallString" '"$INSTDIR\uninstall.exe" /S'
	WriteRegDWORD HKLM "${UNINSTALL}" "NoModify" 1
	WriteRegDWORD HKLM "${UNINSTALL}" "NoRepair" 1
	${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
	WriteRegDWORD HKLM "${UNINSTALL}" "EstimatedSize" $0
SectionEnd

; What enrolments left, and the administrator's configuration in %PROGRAMDATA%, are not ours to delete.
Section "Uninstall"
	SetShellVarContext all
	SetRegView 64
	ReadRegStr $0 HKLM "Software\Inro\Agent" "StartMenu"
	Delete "$0"
	Delete "$INSTDIR\inro-agent.exe"
	Delete "$INSTDIR\inro-agent-window.exe"
	Delete "$INSTDIR\LICENSE.txt"
	Delete "$INSTDIR\agent.toml"
	Delete "$INSTDIR\policy.toml"
	Delete "$INSTDIR\uninstall.exe"
	RMDir "$INSTDIR"
	; Only if nothing is in it.
	RMDir "$APPDATA\Inro"
	DeleteRegKey HKLM "${UNINSTALL}"
	DeleteRegKey HKLM "Software\Inro\Agent"
	DeleteRegKey /ifempty HKLM "Software\Inro"
SectionEnd
